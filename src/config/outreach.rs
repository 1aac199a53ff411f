//! Settings of outreach: in whose name people are written to, how often, and when not.
//!
//! Owns their table, and quiet hours. Must never hold a password: those are secrets.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::setting::{Row, Slot};
use super::{DAY, seconds, zone};

/// Settings of outreach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutreachConfig {
    /// The address that mail comes from; none where nobody is written to.
    pub sender: Option<String>,
    /// The name that it comes from.
    pub sender_name: Option<String>,
    /// The postal address that stands below each mail.
    pub postal_address: Option<String>,
    /// The server that takes mail: `smtp://127.0.0.1:1025`, `smtps://user@mail.example.com`.
    pub smtp: Option<String>,
    /// Messages that one sender sends a day (UTC) at most.
    pub daily_limit: u64,
    /// The pause between two messages of a run.
    pub delay: Duration,
    /// Within this time nobody is written to for two experiments.
    pub contact_gap: Duration,
    /// When nobody is written to, by the clock of whoever would be.
    pub quiet_hours: Option<QuietHours>,
    /// The zone of people whose zone is not known; where none is set, that of the experiment's schedule, else that of this machine.
    pub timezone: Option<String>,
    /// The zone of this machine, as whoever starts the team found it. No setting.
    pub here: Option<Tz>,
    /// Where people unsubscribe: an address, or a URL.
    pub unsubscribe: Option<String>,
    /// Where replies arrive: a maildir, or an mbox file.
    pub mailbox: Option<PathBuf>,
    /// Where the webhook bodies of Resend are saved: a folder, one JSON file each.
    pub webhooks: Option<PathBuf>,
    /// Where samples of mails go before they go to anybody: the operator's own address.
    pub operator_email: Option<String>,
}

impl Default for OutreachConfig {
    fn default() -> Self {
        Self {
            sender: None,
            sender_name: None,
            postal_address: None,
            smtp: None,
            daily_limit: 50,
            delay: seconds(1),
            contact_gap: 14 * DAY,
            quiet_hours: Some(QuietHours { from: hour(21), to: hour(8) }),
            timezone: None,
            here: None,
            unsubscribe: None,
            mailbox: None,
            webhooks: None,
            operator_email: None,
        }
    }
}

impl OutreachConfig {
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        vec![
            Row::new(
                "outreach.sender",
                Slot::Text(&mut self.sender, address),
                "The address that mail comes from. Without one nobody is written to; a person is asked to do it.",
            ),
            Row::new("outreach.sender_name", Slot::Text(&mut self.sender_name, line), "The name that mail comes from."),
            Row::new(
                "outreach.postal_address",
                Slot::Text(&mut self.postal_address, line),
                "The postal address of the sender, which stands below each mail. Mail is not sent without one.",
            ),
            Row::new(
                "outreach.smtp",
                Slot::Text(&mut self.smtp, smtp),
                "The server that takes mail: smtp://HOST:PORT (STARTTLS where it is offered) or smtps://USER@HOST. The password is a secret: `fullsend secrets set SMTP_PASSWORD`.",
            ),
            Row::new(
                "outreach.daily_limit",
                Slot::Count(&mut self.daily_limit, 1..=100_000),
                "Messages that a sender sends a day (UTC) at most, for all experiments together.",
            ),
            Row::new(
                "outreach.delay",
                Slot::Duration(&mut self.delay, Duration::ZERO..=seconds(3_600)),
                "The pause between two messages of a run.",
            ),
            Row::new(
                "outreach.contact_gap",
                Slot::Duration(&mut self.contact_gap, Duration::ZERO..=365 * DAY),
                "Within this time nobody is written to for two experiments.",
            ),
            Row::new(
                "outreach.quiet_hours",
                Slot::QuietHours(&mut self.quiet_hours),
                "When nobody is written to, by the clock of whoever would be.",
            ),
            Row::new(
                "outreach.timezone",
                Slot::Text(&mut self.timezone, zone_name),
                "The zone of people whose zone is not known. Where none is set, it is that of the experiment's schedule, else that of this machine.",
            ),
            Row::new(
                "outreach.unsubscribe",
                Slot::Text(&mut self.unsubscribe, unsubscribe),
                "Where people unsubscribe: an address, or an https URL. Mail is not sent without one.",
            ),
            Row::new(
                "outreach.mailbox",
                Slot::File(&mut self.mailbox),
                "Where replies and bounces arrive: a maildir, or an mbox file. It is read from the first mail on, and for twelve weeks after the last.",
            ),
            Row::new(
                "outreach.webhooks",
                Slot::File(&mut self.webhooks),
                "A folder in which webhook bodies of Resend are saved, one JSON file each. It is read as the mailbox is, beside it or alone.",
            ),
            Row::new(
                "outreach.operator_email",
                Slot::Text(&mut self.operator_email, address),
                "Your own address: `fullsend experiments sample` sends a mail there as one of the recipients would get it.",
            ),
        ]
    }

    /// Whether there is a place where answers arrive.
    pub const fn reads_answers(&self) -> bool {
        self.mailbox.is_some() || self.webhooks.is_some()
    }

    /// When somebody may be written to who may not be now; none where they may be now. `of` is their own zone, `schedule` that of the
    /// experiment's schedule.
    pub fn quiet_until(&self, of: Option<&str>, schedule: Option<Tz>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let zone = of.and_then(|name| zone::named(name).ok()).or_else(|| self.zone(schedule))?;
        self.quiet_hours?.until(zone, now)
    }

    /// The zone of people whose own is not known. `schedule` is that of the experiment's schedule.
    pub fn zone(&self, schedule: Option<Tz>) -> Option<Tz> {
        self.timezone.as_deref().and_then(|name| zone::named(name).ok()).or(schedule).or(self.here)
    }
}

fn hour(hour: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default()
}

/// Hours in which nobody is written to: `21:00-08:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// They begin.
    pub from: NaiveTime,
    /// They end; on the next day where this is before `from`.
    pub to: NaiveTime,
}

impl QuietHours {
    /// Reads `21:00-08:00`; none for `none`.
    ///
    /// # Errors
    /// In words, where it is something else.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text == "none" {
            return Ok(None);
        }
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let read = text.split_once('-').and_then(|(from, to)| Some(Self { from: time(from)?, to: time(to)? }));
        match read.filter(|hours| hours.from != hours.to) {
            Some(hours) => Ok(Some(hours)),
            None => Err("write the hours like `21:00-08:00`, or `none`".to_owned()),
        }
    }

    /// When they end in a zone, where it is in them now.
    pub fn until(self, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&zone).naive_local();
        let (date, time) = (local.date(), local.time());
        let day = if self.from < self.to {
            (self.from..self.to).contains(&time).then_some(date)?
        } else if time >= self.from {
            date.succ_opt()?
        } else {
            (time < self.to).then_some(date)?
        };
        // Where the clock leaves that moment out, an hour later it is there.
        let ends = day.and_time(self.to);
        let at = |hours| zone.from_local_datetime(&(ends + chrono::TimeDelta::hours(hours))).latest();
        (0..=24).find_map(at).map(|at| at.with_timezone(&Utc))
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

fn line(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) { Err("it has more than one line".to_owned()) } else { Ok(()) }
}

fn address(text: &str) -> Result<(), String> {
    text.parse::<lettre::Address>().map(|_| ()).map_err(|_| "this is no mail address; write NAME@HOST".to_owned())
}

fn zone_name(text: &str) -> Result<(), String> {
    zone::named(text).map(|_| ()).map_err(|err| err.to_string())
}

fn smtp(text: &str) -> Result<(), String> {
    let shape = "write smtp://HOST:PORT or smtps://USER@HOST";
    let url = reqwest::Url::parse(text).map_err(|_| format!("this is no URL; {shape}"))?;
    if !matches!(url.scheme(), "smtp" | "smtps") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("mail is given to a server over smtp or smtps; {shape}"));
    }
    if url.password().is_some() {
        return Err("a password stands in the URL; it is a secret: `fullsend secrets set SMTP_PASSWORD`".to_owned());
    }
    Ok(())
}

fn unsubscribe(text: &str) -> Result<(), String> {
    let is_url = reqwest::Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.has_host());
    if is_url || address(text).is_ok() {
        Ok(())
    } else {
        Err("write a mail address, or a URL that starts with https://".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("21:00-08:00", "UTC", "2026-03-01T20:59:59Z", None)]
    #[case("21:00-08:00", "UTC", "2026-03-01T21:00:00Z", Some("2026-03-02T08:00:00Z"))]
    #[case("21:00-08:00", "UTC", "2026-03-02T07:59:00Z", Some("2026-03-02T08:00:00Z"))]
    #[case("21:00-08:00", "UTC", "2026-03-02T08:00:00Z", None)]
    #[case("12:00-13:30", "Europe/Berlin", "2026-07-01T10:30:00Z", Some("2026-07-01T11:30:00Z"))]
    #[case("12:00-13:30", "Europe/Berlin", "2026-07-01T12:30:00Z", None)]
    #[case("21:00-08:00", "America/Los_Angeles", "2026-03-02T12:00:00Z", Some("2026-03-02T16:00:00Z"))]
    // The clock goes on from 02:00 to 03:00 that night.
    #[case("21:00-02:30", "Europe/Berlin", "2026-03-28T22:00:00Z", Some("2026-03-29T01:30:00Z"))]
    fn quiet_hours_end_by_the_clock_of_the_zone(
        #[case] hours: &str,
        #[case] zone: &str,
        #[case] now: &str,
        #[case] until: Option<&str>,
    ) {
        let outreach = OutreachConfig { quiet_hours: QuietHours::parse(hours).unwrap(), ..OutreachConfig::default() };
        let found = outreach.quiet_until(Some(zone), None, now.parse().unwrap());
        assert_eq!(found, until.map(|until| until.parse().unwrap()));
    }

    #[test]
    fn whose_zone_is_not_known_has_that_of_the_settings_of_the_schedule_or_of_this_machine() {
        let night = "2026-03-01T23:00:00Z".parse().unwrap();
        let (until, tokyo) = ("2026-03-02T08:00:00Z".parse().unwrap(), Some(Tz::Asia__Tokyo));
        let mut outreach = OutreachConfig::default();
        assert_eq!(outreach.quiet_until(None, None, night), None);
        // It is eight in the morning in Tokyo.
        outreach.here = Some(Tz::UTC);
        assert_eq!(outreach.quiet_until(None, None, night), Some(until));
        assert_eq!(outreach.quiet_until(Some("Nowhere/Town"), None, night), Some(until));
        assert_eq!(outreach.quiet_until(None, tokyo, night), None);
        outreach.timezone = Some("UTC".to_owned());
        assert_eq!(outreach.quiet_until(None, tokyo, night), Some(until));
        assert_eq!(outreach.quiet_until(Some("Asia/Tokyo"), None, night), None);
        outreach.quiet_hours = QuietHours::parse("none").unwrap();
        assert_eq!(outreach.quiet_until(None, None, night), None);
    }

    #[rstest]
    #[case("21-08")]
    #[case("21:00")]
    #[case("08:00-08:00")]
    #[case("25:00-08:00")]
    #[case("")]
    fn what_are_no_hours_is_refused(#[case] text: &str) {
        assert!(QuietHours::parse(text).is_err());
    }

    #[test]
    fn a_password_has_no_place_in_the_settings() {
        assert!(smtp("smtp://127.0.0.1:1025").is_ok());
        assert!(smtp("smtps://mara@mail.example.com").is_ok());
        assert!(smtp("smtps://mara:hunter2@mail.example.com").unwrap_err().contains("secrets set"));
        assert!(smtp("https://mail.example.com").is_err());
        assert!(unsubscribe("http://example.com/u").is_err());
        assert!(unsubscribe("https://example.com/u").is_ok());
        assert!(unsubscribe("stop@example.com").is_ok());
    }
}
