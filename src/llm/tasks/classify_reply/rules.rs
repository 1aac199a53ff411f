//! The rule of thumb for answers to mail.
//!
//! Owns the word lists, in the languages that people answered in most. Order matters: a wish to be left alone comes first, then what
//! machines write, then a no, then a yes. A yes word that its clause turns round is a no. Our own subject, which comes back with each answer,
//! decides nothing.

use super::clauses::{clauses, said};
use super::wishes;
use super::{REASON_LIMIT, ReplyClass, ReplyInput, ReplyKind};
use crate::llm::Ruled;
use crate::llm::tasks::words::Words;

/// A machine says that they are away.
const AWAY: &str = "\
    out of office, out of the office, on vacation, on holiday, on annual leave, on parental leave, on maternity leave, on paternity leave, on leave, \
    am away, currently away, be away, limited access to email, limited access to my email, will be back, return to the office, returning to the office, \
    automatic reply, auto reply, autoreply, automated response, im urlaub, nicht im buro, nicht im haus, abwesend, abwesenheit, elternzeit, \
    wieder erreichbar, automatische antwort, de vacaciones, fuera de la oficina, respuesta automatica, en conges, en vacances, absent du, \
    reponse automatique, in ferie, fuori ufficio, risposta automatica, de ferias, met vakantie, na urlopie, oo this, am oo, oo until, \
    closed for the, automatically generated, automated reply, automated message, this is an automated";
/// A machine says that something came.
const RECEIVED: &str = "\
    ticket has been created, your ticket, case number, has been received and, have received your, thank you for contacting, thanks for contacting, \
    get back to you as soon as, respond within, reply within, do not reply to this";
/// A machine says that it was not delivered, or that they are gone.
const BOUNCED: &str = "\
    undeliverable, undelivered, delivery failed, delivery has failed, delivery failure, could not be delivered, couldnt be delivered, was not delivered, \
    wasnt delivered, mailbox is full, mailbox full, mailbox unavailable, user unknown, unknown user, address not found, address couldnt be found, \
    recipient address rejected, no such user, account that you tried to reach, permanent error, permanent fatal errors, returned to sender, \
    address is no longer, mailbox is no longer, no longer monitored, not monitored, unzustellbar, nicht zugestellt, zugestellt werden";
/// Somebody is no longer there; said by a machine where nothing else is said.
const GONE: &str = "\
    no longer works, no longer work, no longer with, no longer at, no longer employed, has left the company, left the company, left the organization, \
    nicht mehr im unternehmen, hat das unternehmen verlassen";
/// How the subject of a machine begins.
const AWAY_SUBJECTS: &str = "\
    automatic reply, auto reply, autoreply, auto response, autoresponse, auto, out of office, out of the office, abwesenheitsnotiz, abwesend, \
    automatische antwort, reponse automatique, absence, respuesta automatica, risposta automatica, resposta automatica";
const BOUNCED_SUBJECTS: &str = "\
    undeliverable, undelivered mail, delivery status notification, delivery failure, delivery has failed, mail delivery, failure notice, returned mail, \
    message not delivered, unzustellbar, nicht zustellbar, non remis";
/// How the subject of an answer begins: with ours behind it.
const ANSWERS: [&str; 12] = ["re", "aw", "sv", "vs", "antw", "rif", "ref", "fwd", "fw", "wg", "tr", "rv"];
/// A no.
const NO: &str = "\
    not interested, no interest, not interest, isnt of interest, no thanks, no thank you, no thx, thanks but no, thank you but no, nope, not for us, \
    not for me, not a fit, no fit, not the right fit, not a good fit, not right for us, not relevant, no need, dont need, do not need, dont have a need, \
    well pass, we will pass, ill pass, i will pass, going to pass, have to pass, gonna pass, hard pass, not looking, arent looking, not in the market, \
    already have, already use, already using, already work with, built our own, built this ourselves, build this ourselves, \
    no budget, not in the budget, too expensive, cant afford, budget is gone, budget is frozen, not now, not at this time, not at the moment, not right now, \
    not this year, not this quarter, no time for, bad timing, wrong time, not a priority, maybe later, maybe next year, waste of time, \
    kein interesse, keinen bedarf, kein bedarf, nein danke, nicht interessiert, brauchen wir nicht, haben wir schon, haben bereits, kein budget, \
    no me interesa, no nos interesa, no estamos interesados, no gracias, ya tenemos, pas interesse, pas interesses, pas interessee, non merci, \
    pas besoin, avons deja, non ci interessa, non mi interessa, no grazie, nao tenho interesse, nao obrigado, geen interesse, nee bedankt, nie dziekuje, \
    nie jestesmy zainteresowani, decline, all set, certainly not, probably not, definitely not, absolutely not, of course not, rather not, decided against, \
    against it, too small for, no way, went with, gone with, chose another, spending freeze, hiring freeze, in house, inhouse, do this ourselves, \
    do it ourselves, dont have budget, dont have a budget, dont have the budget, of no interest, not of interest, isnt a priority, doesnt sound, \
    not sound, not something, dont plan, dont think, do not think, wont be needing, wont be taking, wont be pursuing, wont be moving, cant look, cant help, \
    cannot help, dont see how, cant see how, a no from, a no for, yeah right, to waste, waste my, waste our, if it was, if it were, more spam, \
    sure and im, yeah and im, pas pour nous, nichts fur uns, interessiert mich nicht, interessiert uns nicht, no es para nosotros";
/// A no, unless a `not` turns it round: `not happy with our vendor`.
const CONTENT: &str = "happy with what, happy with our, happy with the, happy as we, were good, we are good, were fine, we are fine, im good, were covered, we are covered";
/// A no where a clause has nothing else.
const BARE: &str = "no, nope, nah, nein, non, nee, nie, negative, hardly, pass";
/// What may stand beside it.
const BESIDE: &str =
    "sorry, hmm, hm, lol, haha, oh, uh, um, er, well, thanks, thank, you, danke, merci, ok, okay, please";
/// A yes where it stands in front of a day.
const CAN: &str = "can you do, could you do, how about, what about, can we do, lets say, i could do, i can do";
const DAYS: &str = "monday, tuesday, wednesday, thursday, friday, tomorrow, today, next week, this week, montag, dienstag, mittwoch, donnerstag, freitag";
/// A yes.
const YES: &str = "\
    interested, interesting, im in, we are in, count me in, sign me up, sounds good, sounds great, sounds interesting, sounds useful, looks good, looks great, \
    looks interesting, sound good, sound interesting, love to, would like to, id like to, wed like to, like a demo, happy to, happy for, glad to, id be glad, \
    open to a, be open to, open to chat, lets connect, looking forward, why dont we, why not, when can we, can we talk, can we meet, book something, keen to, keen on, keen, yes please, yes, yeah, yep, sure, absolutely, \
    definitely, of course, lets talk, lets chat, lets meet, lets do, lets set, lets find, lets schedule, lets book, let us talk, call me, give me a call, \
    ring me, set up a call, schedule a call, book a call, hop on a call, jump on a call, quick call, have a call, book a time, booked a slot, booked a time, \
    grab a slot, my calendar, calendar link, send me an invite, send an invite, send over an invite, what times, works for me, work for me, works for us, \
    works for you, work for you, free on, free at, available on, available next, next week works, tell me more, more info, more information, more details, \
    send me more, send more, send over, send me the, send details, share more, share the deck, a demo, see a demo, try it, try this, give it a try, \
    free trial, early access, join the beta, exactly what we, exactly what weve, just what we, just what weve, we were just, send it over, send them over, send it to me, \
    oui, suis interesse, suis interessee, interessiert mich, ja das, \
    gerne, klingt gut, klingt spannend, klingt interessant, interessiert uns, ja bitte, rufen sie mich, lassen sie uns, termin, mehr informationen, \
    me interesa, nos interesa, suena bien, hablemos, cuentame mas, mas informacion, con gusto, ca m interesse, ca minteresse, nous interesse, avec plaisir, \
    volontiers, parlons, plus d informations, dites m en plus, mi interessa, ci interessa, volentieri, sentiamoci, tenho interesse, vamos conversar, \
    graag, klinkt goed, chetnie";
/// How questions begin that have no question mark.
const ASKS: &str = "\
    how, what, who, where, when, why, which, is there, is it, are there, are you, do you, does it, does this, can you, can it, could you, will it, would it, \
    wie, was, wer, wo, wann, warum, gibt es, konnen sie, haben sie, cuanto, como, que, quien, combien, comment, quel, qui, quanto, come, chi";
/// They name somebody else.
const ELSEWHERE: &str = "\
    wrong person, not the right person, not the right contact, speak to, speak with, talk to my, reach out to my, contact my colleague, copying, looping in, \
    ccing, cced, forwarded this to, forwarding this to, passed this on, passing this on, handles this, is responsible for, in charge of, nicht zustandig, \
    zustandig ist, ansprechpartner";

/// The rule.
pub(super) fn rule(input: &ReplyInput) -> Ruled<ReplyClass> {
    let (kind, why) = kind(input);
    let reason: String = why.chars().take(REASON_LIMIT).collect();
    Ruled { output: ReplyClass { kind, reason: reason.clone() }, reasons: vec![reason] }
}

/// Whether a subject is ours, that comes back: it begins as the subjects of answers do.
pub(super) fn is_ours(subject: &str) -> bool {
    let begins = |head: &str| {
        ANSWERS.contains(
            &head
                .trim()
                .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']'))
                .to_lowercase()
                .as_str(),
        )
    };
    subject.split_once([':', '：']).is_some_and(|(head, _)| begins(head))
}

/// What a machine's subject says. What stands behind its colon is ours.
fn by_subject(subject: &str) -> Option<ReplyKind> {
    if is_ours(subject) {
        return None;
    }
    let head = Words::of(subject.split([':', '：']).next().unwrap_or_default());
    if head.begins(BOUNCED_SUBJECTS) {
        return Some(ReplyKind::Bounce);
    }
    // `Auto` alone is a mark; as a part of a sentence it is a word.
    (head.begins(AWAY_SUBJECTS) && (subject.contains(':') || !head.begins("auto") || head.len() <= 2))
        .then_some(ReplyKind::OutOfOffice)
}

fn kind(input: &ReplyInput) -> (ReplyKind, String) {
    let found = |kind: ReplyKind, what: &str, word: &str| (kind, format!("It says `{word}`: {what}."));
    let subject = input.subject.as_ref().map(crate::contracts::Untrusted::raw).unwrap_or_default();
    if let Some(word) = wishes::word_of(input) {
        return found(ReplyKind::Unsubscribe, "they want no more mail", word);
    }
    let text = said(input.text.raw());
    let words = Words::of(&text);
    let by_subject = by_subject(subject);
    if words.len() == 0 && by_subject.is_none() {
        return (ReplyKind::Other, "It has no words.".to_owned());
    }
    let asks = text.contains(['?', '？']);
    let yes = yes(&text);
    if by_subject == Some(ReplyKind::Bounce) || words.has(BOUNCED) && !asks {
        let word = words.first_of(BOUNCED).unwrap_or("undeliverable");
        return found(ReplyKind::Bounce, "it did not arrive", word);
    }
    // A person who speaks of somebody that left goes on speaking.
    if let Some(word) = words.first_of(GONE).filter(|_| !asks && yes.is_err() && !words.has("we, our, us")) {
        return found(ReplyKind::Bounce, "they are gone", word);
    }
    let no = no(&text, &words);
    let away = words.first_of(AWAY).filter(|_| no.is_none());
    let received = words.first_of(RECEIVED).filter(|_| no.is_none() && yes.is_err() && !asks);
    if by_subject == Some(ReplyKind::OutOfOffice) || away.is_some() || received.is_some() {
        let word = away.or(received).unwrap_or("automatic reply");
        return found(ReplyKind::OutOfOffice, "a machine answers, or they are away", word);
    }
    if let Some(word) = no {
        return found(ReplyKind::Negative, "they do not want it", word);
    }
    if let Some(word) = words.first_of(ELSEWHERE) {
        return found(ReplyKind::Other, "they name somebody else", word);
    }
    match yes {
        Ok(word) => return found(ReplyKind::Positive, "they want to go on", word),
        Err(Some(word)) => return found(ReplyKind::Negative, "and not that they want it", word),
        Err(None) => {}
    }
    if clauses(&text).iter().any(|clause| clause.is_only(BARE, BESIDE)) {
        return found(ReplyKind::Negative, "they do not want it", "no");
    }
    if asks || words.begins(ASKS) {
        return (ReplyKind::Question, "It asks something, and says neither yes nor no.".to_owned());
    }
    (ReplyKind::Other, "It has no words of a yes, a no or a question.".to_owned())
}

/// The first no.
fn no(text: &str, words: &Words) -> Option<&'static str> {
    let content = || clauses(text).iter().find_map(|clause| clause.plain(CONTENT).ok());
    words.first_of(NO).or_else(content)
}

/// The first yes that nothing turns round; where there is none, one that is turned round.
fn yes(text: &str) -> Result<&'static str, Option<&'static str>> {
    let mut turned = None;
    for clause in clauses(text) {
        // It is glad, not willing.
        if clause.0.has("happy to hear, glad to hear, happy to see, glad to see, happy to know, happy for you") {
            continue;
        }
        match clause.plain(YES) {
            Ok(word) => return Ok(word),
            Err(word) => turned = turned.or(word),
        }
        if clause.0.has(CAN) && clause.0.has(DAYS) {
            return Ok("a day");
        }
    }
    Err(turned)
}
