use pretty_assertions::assert_eq;

use super::*;
use crate::cli::testing::{Desk, json_lines};

#[tokio::test(start_paused = true)]
async fn schedules_are_told_in_words_and_by_their_zones_clock() {
    let desk = Desk::new();
    let berlin = [
        ("cron", "0 9 * * MON"),
        ("timezone", "Europe/Berlin"),
        ("next_at", "2027-01-18T08:00:00.000Z"),
        ("missed", "skip"),
    ];
    desk.document("schedules:exp_a", &berlin).await;
    desk.document("schedules:exp_b", &[("cron", "0 9 * * *"), ("state", "cancelled")]).await;
    let (cx, results, _) = desk.verb(false);
    let args = Args { count: 2, all: false };
    assert_eq!(show(&args, &cx, &desk.world.bus()).await.unwrap(), OK);
    let text = results.text();
    assert!(text.contains("Mondays at 09:00 Europe/Berlin") && text.contains("Mon 2027-01-18 09:00 CET"), "{text}");
    assert!(text.contains("Mon 2027-01-25 09:00 CET") && !text.contains("exp_b"), "{text}");
    let (cx, results, _) = desk.verb(true);
    show(&Args { count: 1, all: true }, &cx, &desk.world.bus()).await.unwrap();
    let lines = json_lines(&results.text());
    assert_eq!(lines[0]["next_in_zone"][0], "2027-01-18T09:00:00+01:00");
    assert_eq!((&lines[1]["state"], lines[1]["next"].as_array().unwrap().len()), (&"cancelled".into(), 0));
}
