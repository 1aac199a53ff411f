//! A schedule in words, for the forms that people write.
//!
//! Must never say something that the schedule is not: what it cannot say whole, it does not say.

use chrono_tz::Tz;

const DAYS: [(&str, &str); 7] = [
    ("SUN", "Sundays"),
    ("MON", "Mondays"),
    ("TUE", "Tuesdays"),
    ("WED", "Wednesdays"),
    ("THU", "Thursdays"),
    ("FRI", "Fridays"),
    ("SAT", "Saturdays"),
];

/// The words; none where it is of another form.
pub(super) fn describe(text: &str, zone: Tz) -> Option<String> {
    let fields: Vec<&str> = text.split(' ').collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else { return None };
    if month != "*" {
        return None;
    }
    if (hour, day, weekday) == ("*", "*", "*") {
        return match minute {
            "*" => Some("every minute".to_owned()),
            "0" => Some("every hour".to_owned()),
            _ => {
                let step: u32 = minute.strip_prefix("*/")?.parse().ok()?;
                (step > 1 && 60 % step == 0).then(|| format!("every {step} minutes"))
            }
        };
    }
    let minute: u32 = minute.parse().ok()?;
    let hours: Vec<u32> = hour.split(',').map(|hour| hour.parse().ok()).collect::<Option<_>>()?;
    let times: Vec<String> = hours.iter().map(|hour| format!("{hour:02}:{minute:02}")).collect();
    let days = match (day, weekday) {
        ("*", "*") => "every day".to_owned(),
        ("*", weekday) => weekdays(weekday)?,
        (day, "*") => format!("on day {} of each month", day.parse::<u32>().ok()?),
        _ => return None,
    };
    Some(format!("{days} at {} {}", times.join(" and "), zone.name()))
}

fn weekdays(field: &str) -> Option<String> {
    if matches!(field.to_ascii_uppercase().as_str(), "1-5" | "MON-FRI") {
        return Some("Mondays to Fridays".to_owned());
    }
    let names: Vec<&str> = field.split(',').map(weekday).collect::<Option<_>>()?;
    Some(names.join(" and "))
}

fn weekday(name: &str) -> Option<&'static str> {
    let number = match name.parse::<usize>() {
        Ok(7) => 0,
        Ok(number) => number,
        Err(_) => DAYS.iter().position(|(short, _)| name.eq_ignore_ascii_case(short))?,
    };
    DAYS.get(number).map(|(_, name)| *name)
}
