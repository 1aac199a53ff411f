//! The rule of thumb for answers to mail.
//!
//! Owns the word lists, in the languages that people answered in most. Order matters: a wish to be left alone comes first, then what
//! machines write, then a no, then a yes: `not interested` has `interested` in it.

use super::{REASON_LIMIT, ReplyClass, ReplyInput, ReplyKind};
use crate::llm::Ruled;
use crate::llm::tasks::words::Words;

/// They want no more mail.
const OUT: &str = "\
    unsubscribe, unsuscribe, unsubscribed, opt out, opt me out, remove me, remove my, remove us, remove this address, take me off, take us off, \
    take my, off your list, off this list, off the list, stop emailing, stop mailing, stop sending, stop contacting, stop spamming, stop writing, \
    dont email me, do not email me, dont contact, do not contact, dont write, do not write, never contact, never email, no more emails, no more mail, \
    no further emails, leave me alone, reported as spam, report you, reporting this, marked as spam, this is spam, under gdpr, under the gdpr, gdpr request, right to erasure, delete my data, \
    delete my address, delete my details, cease and desist, abmelden, abbestellen, austragen, keine weiteren mails, keine weiteren e mails, \
    keine mails mehr, keine werbung, loschen sie meine, nehmen sie mich, nach dsgvo, gemass dsgvo, desuscribir, darme de baja, dar de baja, no me escriban, \
    no me contacten, desabonner, desinscrire, desinscription, ne plus recevoir, ne m ecrivez plus, ne mecrivez plus, cancellami, cancellatemi, \
    disiscrivimi, descadastrar, uitschrijven, afmelden, wypisac";
/// A machine says that they are away.
const AWAY: &str = "\
    out of office, out of the office, on vacation, on holiday, on annual leave, on parental leave, on maternity leave, on paternity leave, on leave, \
    am away, currently away, be away, limited access to email, limited access to my email, will be back, return to the office, returning to the office, \
    automatic reply, auto reply, autoreply, automated response, im urlaub, nicht im buro, nicht im haus, abwesend, abwesenheit, elternzeit, \
    wieder erreichbar, automatische antwort, de vacaciones, fuera de la oficina, respuesta automatica, en conges, en vacances, absent du, \
    reponse automatique, in ferie, fuori ufficio, risposta automatica, de ferias, met vakantie, na urlopie";
/// A machine says that it was not delivered, or that they are gone.
const BOUNCED: &str = "\
    undeliverable, undelivered, delivery failed, delivery has failed, delivery failure, could not be delivered, couldnt be delivered, was not delivered, \
    mailbox is full, mailbox full, mailbox unavailable, user unknown, unknown user, address not found, recipient address rejected, no such user, \
    address is no longer, mailbox is no longer, no longer monitored, not monitored, no longer works, no longer with, no longer at, has left the company, \
    left the company, unzustellbar, nicht zugestellt, nicht mehr im unternehmen, hat das unternehmen verlassen";
/// A no.
const NO: &str = "\
    not interested, no interest, not interest, isnt of interest, no thanks, no thank you, no thx, thanks but no, thank you but no, nope, not for us, \
    not for me, not a fit, no fit, not the right fit, not a good fit, not right for us, not relevant, no need, dont need, do not need, dont have a need, \
    well pass, we will pass, ill pass, i will pass, going to pass, have to pass, gonna pass, hard pass, not looking, arent looking, not in the market, \
    already have, already use, already using, already work with, happy with what, happy with our, built our own, built this ourselves, build this ourselves, \
    no budget, not in the budget, too expensive, cant afford, budget is gone, budget is frozen, not now, not at this time, not at the moment, not right now, \
    not this year, not this quarter, no time for, bad timing, wrong time, not a priority, maybe later, maybe next year, waste of time, \
    kein interesse, keinen bedarf, kein bedarf, nein danke, nicht interessiert, brauchen wir nicht, haben wir schon, haben bereits, kein budget, \
    no me interesa, no nos interesa, no estamos interesados, no gracias, ya tenemos, pas interesse, pas interesses, pas interessee, non merci, \
    pas besoin, avons deja, non ci interessa, non mi interessa, no grazie, nao tenho interesse, nao obrigado, geen interesse, nee bedankt, nie dziekuje, \
    nie jestesmy zainteresowani, decline";
/// A yes.
const YES: &str = "\
    interested, interesting, im in, we are in, count me in, sign me up, sounds good, sounds great, sounds interesting, sounds useful, looks good, looks great, \
    looks interesting, love to, would like to, id like to, wed like to, happy to, glad to, keen to, keen on, keen, yes please, yes, yeah, yep, sure, absolutely, \
    definitely, of course, lets talk, lets chat, lets meet, lets do, lets set, lets find, lets schedule, lets book, let us talk, call me, give me a call, \
    ring me, set up a call, schedule a call, book a call, hop on a call, jump on a call, quick call, have a call, book a time, booked a slot, booked a time, \
    grab a slot, my calendar, calendar link, send me an invite, send an invite, send over an invite, what times, works for me, work for me, works for us, \
    works for you, work for you, free on, free at, available on, available next, next week works, tell me more, more info, more information, more details, \
    send me more, send more, send over, send me the, send details, share more, share the deck, a demo, see a demo, try it, try this, give it a try, \
    free trial, early access, join the beta, exactly what we, just what we, we were just, \
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
    let words = Words::of(input.text.raw());
    let subject = input.subject.as_ref().map(|subject| Words::of(subject.raw())).unwrap_or_default();
    let (kind, why) = kind(&words, &subject, input.text.raw());
    let reason: String = why.chars().take(REASON_LIMIT).collect();
    Ruled { output: ReplyClass { kind, reason: reason.clone() }, reasons: vec![reason] }
}

/// Whether they plainly want no more mail.
pub(super) fn wants_out(input: &ReplyInput) -> bool {
    let words = Words::of(input.text.raw());
    let alone = words.len() <= 3 && words.begins("stop, unsubscribe, remove, abmelden");
    let asks = words
        .has("how do i unsubscribe my, do you support unsubscribe, unsubscribe link for our, unsubscribe handling");
    (alone || words.has(OUT)) && !asks
}

fn kind(words: &Words, subject: &Words, text: &str) -> (ReplyKind, String) {
    let found = |kind: ReplyKind, what: &str, word: &str| (kind, format!("It says `{word}`: {what}."));
    if words.len() == 0 && subject.len() == 0 {
        return (ReplyKind::Other, "It has no words.".to_owned());
    }
    let input = ReplyInput { subject: None, text: text.into() };
    if wants_out(&input) {
        let word = words.first_of(OUT).unwrap_or("stop");
        return found(ReplyKind::Unsubscribe, "they want no more mail", word);
    }
    let either = |list| words.first_of(list).or_else(|| subject.first_of(list));
    if let Some(word) = either(BOUNCED) {
        return found(ReplyKind::Bounce, "it did not arrive, or they are gone", word);
    }
    if let Some(word) = either(AWAY).filter(|_| !words.has(NO)) {
        return found(ReplyKind::OutOfOffice, "they are away", word);
    }
    if let Some(word) = words.first_of(NO) {
        return found(ReplyKind::Negative, "they do not want it", word);
    }
    if words.len() <= 2 && words.begins("no, nein, non, nee, nie") {
        return found(ReplyKind::Negative, "they do not want it", "no");
    }
    if let Some(word) = words.first_of(ELSEWHERE) {
        return found(ReplyKind::Other, "they name somebody else", word);
    }
    if let Some(word) = words.first_of(YES) {
        return found(ReplyKind::Positive, "they want to go on", word);
    }
    if text.contains(['?', '？']) || words.begins(ASKS) {
        return (ReplyKind::Question, "It asks something, and says neither yes nor no.".to_owned());
    }
    (ReplyKind::Other, "It has no words of a yes, a no or a question.".to_owned())
}
