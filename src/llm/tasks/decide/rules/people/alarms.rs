//! What is urgent: mails to people who do not want them, and something of ours that is broken.

use super::{Said, control, ideas};
use crate::contracts::{Priority, Trust};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut};

/// Somebody is harmed, or says so.
const HARMED: &str = "\
    unsubscribed, furious, angry, lawyer, lawyers, sue, sues, legal action, gdpr, court, lawsuit, upset, outraged, to be removed, remove me, take me off, take us off, unsubscribe me, unsubscribe us, off your list, off your mailing list, dont write to me, do not write to me, dont contact me, do not contact me, stop mailing me, stop emailing me, stop writing to me, no more mails, no more emails, removed twice, keeps getting, keep getting, stop sending me, police, data protection, complained, complains, complaint, \
    complaints, reported us, threatens, threatened, cease and desist, still gets, still get, still receives, still \
    getting, the same mail, same mail, same email, same message, too many mails, too many emails, mails a day, never signed up, opted out, opt out, harassment, spammed, spamming, beschwert, anwalt, abgemeldet, \
    plainte, queja";
/// Those who get what they should not get.
const WRONG: &str = "\
    our own customers, own customers, existing customers, our customers, paying customers, wrong people, wrong list, \
    wrong segment, twice, same people, wrong address, wrong addresses, wrong name, wrong names, wrong link, wrong \
    price, the wrong, employees, our clients, unsubscribed people, people who unsubscribed, people who opted out, \
    everybody again";
/// What can break.
const OURS: &str = "\
    page, pages, site, website, landing, form, forms, link, links, checkout, sign up, signup, button, domain, login, \
    dns, certificate, server, dashboard, widget, app, api, seite, formular, pagina, tracking, unsubscribe, calendar, \
    booking";
/// How it is said that it is.
const BROKEN: &str = "\
    broken, down, 500, 502, 503, 404, error, errors, crash, crashed, crashes, dead, offline, outage, not working, \
    doesnt work, dont work, does not work, stopped working, doesnt load, does not load, wont load, blank, blocklist, \
    blocklisted, blacklist, blacklisted, hacked, expired, unreachable, kaputt, timing out, times out, cant open, \
    fails, failing";

/// Whether, and what.
pub(super) fn alarm(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let stops = words.has("stop, halt, kill, end, cancel");
    if control::is_limit(said) {
        return None;
    }
    if words.has(WRONG) && stops || words.has(HARMED) && !is_proposal_about(said) {
        return Some(harmed(case, said));
    }
    if stops
        && said.text.contains('@')
        && said.text.contains('.')
        && words.has("mail, mailing, mails, email, emailing, writing, write, contacting, sending, send")
    {
        case.because("One person is to be left alone, which is no reason to end anything.");
        let what = format!(
            "Understood: {}. Somebody must put the address on the list of those we never write to.",
            cut(&said.text, 200)
        );
        return Some(case.tell(&what, Priority::High));
    }
    if words.has(OURS)
        && words.has(BROKEN)
        && !ideas::is_proposed(said)
        && !said.words.begins("why, how")
        && said.ids().is_empty()
    {
        return Some(broken(case, said));
    }
    None
}

/// Something of ours does not work.
pub(super) fn broken(case: &mut Case<'_>, said: &Said) -> Decision {
    case.because("Something of ours is broken, which a person must mend.");
    let what = format!(
        "This needs a person now: \"{}\". `/pause` holds everything that sends people there.",
        cut(&said.text, 300)
    );
    case.tell(&what, Priority::Urgent)
}

/// Somebody got what they do not want.
pub(super) fn harmed(case: &mut Case<'_>, said: &Said) -> Decision {
    let meant = control::meant(case, said);
    if let [id] = meant.as_slice()
        && case.input.trust >= Trust::Operator
        && said.words.has("stop, halt, kill, end, cancel")
        && !case.is_archived(id)
    {
        case.because("The operator stops one experiment, because it reaches people whom it should not reach.");
        return case.kill(id, &format!("Stopped by the operator: {}", cut(&said.text, 300)), Priority::Urgent);
    }
    case.because("Somebody got what they do not want, so a person must look at once.");
    let which = if meant.is_empty() { String::new() } else { format!(" It may be {}.", meant.join(" or ")) };
    let what = format!(
        "This needs a person now: \"{}\".{which} Please put them on the list of those we never write to; `/pause` holds everything.",
        cut(&said.text, 300)
    );
    case.tell(&what, Priority::Urgent)
}

/// `what if we mailed people who complained about a competitor` is no complaint.
fn is_proposal_about(said: &Said) -> bool {
    ideas::is_proposed(said)
        && !said.words.has("lawyer, lawyers, court, lawsuit, sue, legal action, furious, still gets, still get, police, threatens, stop writing, stop mailing")
}
