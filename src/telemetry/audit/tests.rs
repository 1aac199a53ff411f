use chrono::DateTime;
use pretty_assertions::assert_eq;
use serde_json::json;

use super::*;

fn chain(length: u64) -> (Vec<String>, Head) {
    let mut head = Head::default();
    let lines = (0..length)
        .map(|index| {
            let details = [("z".to_owned(), json!(index)), ("a".to_owned(), json!("ü"))].into_iter().collect();
            let record = AuditRecord {
                number: 0,
                at: DateTime::from_timestamp_millis(1_800_000_000_000).unwrap(),
                event: "ordered".to_owned(),
                subject: format!("exp_{index}"),
                by: "mara".to_owned(),
                surface: None,
                details,
                previous: String::new(),
                hash: String::new(),
            };
            let record = link(&head, record);
            head = Head { number: record.number, hash: record.hash.clone() };
            serde_json::to_string(&record).unwrap()
        })
        .collect();
    (lines, head)
}

fn checked(lines: &[String], head: &Head) -> Result<(), Broken> {
    let mut checker = Checker::default();
    lines.iter().try_for_each(|line| checker.next(line, false))?;
    checker.ends_at(head)
}

#[test]
fn a_whole_chain_holds_whatever_the_order_of_its_keys() {
    let (mut lines, head) = chain(5);
    assert_eq!(checked(&lines, &head), Ok(()));
    let fields: serde_json::Map<String, Value> = serde_json::from_str(&lines[2]).unwrap();
    let turned: serde_json::Map<String, Value> = fields.into_iter().rev().collect();
    lines[2] = format!("{{\"type\":\"audit_record\",{}", &serde_json::to_string(&turned).unwrap()[1..]);
    assert_eq!(checked(&lines, &head), Ok(()), "the body's tag is no part of it");
    assert_eq!(checked(&[], &Head::default()), Ok(()));
}

#[test]
fn the_first_bad_record_is_named() {
    let (lines, head) = chain(5);
    let changed = |index: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        assert!(lines[index].contains(from));
        lines[index] = lines[index].replace(from, to);
        checked(&lines, &head).unwrap_err()
    };
    assert_eq!(changed(2, "exp_2", "exp_9"), Broken::Tampered { number: 3 });
    assert_eq!(changed(2, "mara", "eve"), Broken::Tampered { number: 3 });
    assert_eq!(changed(0, "\"z\":0", "\"z\":1"), Broken::Tampered { number: 1 });
    let added = changed(3, "\"subject\"", "\"extra\":1,\"subject\"");
    assert_eq!(added, Broken::Tampered { number: 4 }, "nothing can be added either");
    let mut missing = lines.clone();
    missing.remove(2);
    assert_eq!(checked(&missing, &head), Err(Broken::Missing { after: 2, found: 4 }));
    let mut reordered = lines.clone();
    reordered.swap(3, 4);
    assert_eq!(checked(&reordered, &head), Err(Broken::Missing { after: 3, found: 5 }));
    let mut twice = lines.clone();
    twice.insert(3, lines[1].clone());
    assert_eq!(checked(&twice, &head), Err(Broken::Order { after: 3, found: 2 }));
    assert_eq!(checked(&lines[1..], &head), Err(Broken::Beginning { found: 2 }));
    assert_eq!(checked(&lines[..4], &head), Err(Broken::Truncated { found: 4, head: 5 }));
    assert!(matches!(changed(1, "{", "["), Broken::NotARecord { line: 2, .. }));
}

#[test]
fn a_record_that_was_made_anew_does_not_continue_the_chain() {
    let (mut lines, head) = chain(5);
    let mut record: AuditRecord = serde_json::from_str(&lines[2]).unwrap();
    record.by = "eve".to_owned();
    record.hash = hash(&serde_json::to_value(&record).unwrap());
    lines[2] = serde_json::to_string(&record).unwrap();
    assert_eq!(checked(&lines, &head), Err(Broken::Unlinked { number: 4 }));
    assert_eq!(checked(&lines[..3], &Head { number: 3, ..head }), Err(Broken::Rewritten { number: 3 }));
}

#[test]
fn a_stream_may_have_lost_its_beginning_to_its_age() {
    let (lines, head) = chain(5);
    let mut checker = Checker::default();
    for line in &lines[2..] {
        checker.next(line, true).unwrap();
    }
    assert_eq!(checker.ends_at(&head), Ok(()));
}
