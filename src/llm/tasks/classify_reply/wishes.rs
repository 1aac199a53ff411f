//! The wish to be left alone, in the forms that it takes.
//!
//! Whoever is in doubt here suppresses: somebody too many who gets no mail is the smaller harm.

use super::ReplyInput;
use super::clauses::{Clause, clauses, said};
use super::rules::is_ours;
use crate::llm::tasks::words::Words;

/// Whole phrases.
const OUT: &str = "\
    unsubscribe, unsuscribe, unsubscribed, unsub, opt out, opt me out, opt us out, opting out, remove this address, be removed, take me off, take us off, \
    get me off, get us off, get off this list, get off your list, want out, off your list, off this list, off the list, out of this list, \
    lose my number, lose my address, lose my email, delete our address, delete our data, \
    never contact, never email, leave me alone, leave us alone, leave me be, go away, get lost, piss off, fuck off, f off, buzz off, bugger off, \
    reported as spam, report you, reporting this, reporting you, reported you, have reported, blocked and reported, youre blocked, you are blocked, \
    blocked you, blocking you, have blocked, marked as spam, marked as junk, mark as spam, this is spam, are spamming, spamming me, spamming us, \
    unsolicited, harassing, harassment, enough with, enough of your, under gdpr, under the gdpr, gdpr request, right to erasure, not consent, no consent, \
    never consented, never signed up, didnt sign up, did not sign up, cease and desist, \
    abmelden, abbestellen, austragen, aus dem verteiler, aus ihrem verteiler, aus dem mailverteiler, aus ihrer liste, keine werbung, nehmen sie mich, \
    streichen sie mich, lassen sie mich in ruhe, in ruhe lassen, nach dsgvo, gemass dsgvo, widerspreche, nie wieder, \
    desuscribir, desuscribirme, darme de baja, dar de baja, dadme de baja, denme de baja, no me escriban, no me escriba, no me contacten, no me contacte, \
    no me envien, no me envie, no me manden, no me llamen, dejen de, deje de, eliminenme, elimineme, eliminarme, eliminen mi, elimine mi, borren mi, \
    borren mis, borre mis, quitenme, saquenme, \
    desabonner, desabonnez, desinscrire, desinscrivez, desinscription, ne plus recevoir, ne m ecrivez plus, ne mecrivez plus, ne me contactez plus, \
    arretez de, arreter de, supprimez, retirez moi, retirez mon, effacez, plus de mails, laissez moi tranquille, \
    cancellami, cancellatemi, rimuovetemi, rimuovimi, disiscrivimi, non scrivetemi, smettetela, descadastrar, remova meu, remova me, nao me envie, \
    uitschrijven, afmelden, verwijder mij, niet meer mailen, stop met, wypisac";
/// Words that say it alone, and what only makes them polite, louder or longer.
const ALONE: &str = "\
    stop, stopp, unsubscribe, unsub, remove, removed, delete, deleted, erase, cease, desist, discontinue, quit, spam, abmelden, loschen, baja, \
    desinscription, basta";
const POLITE: &str = "\
    please, pls, plz, kindly, thanks, thank, thx, you, hi, hello, hey, dear, now, immediately, it, this, that, these, just, ok, okay, again, already, me, us, \
    my, im, i, sorry, no, nope, bitte, danke, merci, gracias, por, favor, sil, vous, plait, at, once, all, can, could, would, asap, today";
/// What is said of writing to people, as an act and as a thing.
const WRITING: &str = "\
    email, emails, emailing, mail, mails, mailing, mailings, message, messages, messaging, write, writing, send, sending, contact, contacts, contacting, \
    call, calls, calling, phone, text, texting, spam, spamming, bother, bothering, pester, pestering, reach, reaching, ping, pinging, pitch, pitching, \
    solicit, soliciting, outreach, communication, communications, correspondence, newsletter, newsletters, hassle, hassling, disturb";
/// The same as a thing.
const MAIL: &str = "\
    email, emails, mail, mails, mailing, mailings, message, messages, contact, contacted, spam, outreach, communication, communications, correspondence, \
    newsletter, newsletters, hear, receive, receiving, crap, stuff, junk, pitches, solicitations";
/// Who it is about.
const MINE: &str = "me, us, my, mine, myself";

/// Whether they want no more mail.
pub(super) fn wants_out(input: &ReplyInput) -> bool {
    word_of(input).is_some()
}

/// With which word they say that they want no more mail; none where they do not.
pub(super) fn word_of(input: &ReplyInput) -> Option<&'static str> {
    let text = said(input.text.raw());
    let words = Words::of(&text);
    if words.len() == 0 {
        // Mail programs unsubscribe by a mail that has nothing but its subject.
        let subject =
            input.subject.as_ref().map(crate::contracts::Untrusted::raw).filter(|subject| !is_ours(subject))?;
        let all = clauses(subject);
        let asks = all.iter().any(|clause| clause.is_only(ALONE, POLITE)) || Words::of(subject).has(OUT);
        return asks.then_some("unsubscribe");
    }
    let theirs = "how do i unsubscribe my, do you support unsubscribe, unsubscribe link for our, unsubscribe handling";
    if words.has(theirs) {
        return None;
    }
    words.first_of(OUT).or_else(|| clauses(&text).iter().find_map(wish))
}

/// A wish that is made of words which alone are none.
fn wish(clause: &Clause) -> Option<&'static str> {
    let has = |words: &str| clause.0.has(words);
    let then = |first: &str, then: &str, gap: usize, not_before: &str, not_between: &str| {
        clause.follows(first, then, gap, not_before, not_between)
    };
    let stop = "stop, quit, cease, discontinue, refrain, desist";
    if clause.is_only(ALONE, POLITE) {
        return Some("stop");
    }
    if has("no more") && (clause.is_only("no, more", "please, thanks") || then("more", MAIL, 2, "", "")) {
        return Some("no more");
    }
    // Not `we do not send mail`, which is about them, and not `don't hesitate to call`.
    let people = "i, we, they, he, she, it, who, which, did";
    let idioms = "hesitate, forget, need, wait, mind, worry, have, sure, think, know, reply, respond";
    if then("dont, never", WRITING, 3, people, idioms)
        || has("do not") && !clause.follows(people, "do", 0, "", "") && then("not", WRITING, 3, "", idioms)
        || has("please not, kindly not, to not, not to, you not, rather not, prefer not")
            && then("not", WRITING, 2, "", idioms)
        || then("not", "contacted, emailed, called, approached, bothered, disturbed", 2, "", "")
    {
        return Some("do not write");
    }
    if then("dont, not, never", "want, wish, wanted, care, like, agree", 1, "did", "")
        && then("want, wish, wanted, care, like, agree", MAIL, 5, "", "")
        || then("dont, not", "get, receive", 1, "did", "") && has("any, more, further, these, such, again")
    {
        return Some("do not want mail");
    }
    if then(stop, WRITING, 3, "", "by") || then(stop, "me, us, these, this", 3, "", "by") {
        return Some("stop");
    }
    if then("no, zero, nothing", "further, more, additional, future", 0, "", "")
        && then("further, more, additional, future", MAIL, 2, "", "")
    {
        return Some("no further mail");
    }
    if then("remove, delete, erase, purge, scrub", MINE, 1, "", "")
        || then("take, get, leave, cross, strike", MINE, 0, "", "")
            && has("off")
            && has("list, off this, off your, off the, distribution, database")
        || then(
            "loschen, losche, loscht, entfernen, entferne, streichen",
            "meine, meinen, mich, mein, uns, unsere",
            2,
            "",
            "",
        )
    {
        return Some("remove me");
    }
    let german =
        "mail, mails, emails, nachrichten, werbung, schreiben, anschreiben, kontaktieren, kontakt, anrufen, post";
    let none =
        has("keine weiteren, nicht mehr, keine mails, keine mail, keine e mails, keine nachrichten, keinen kontakt");
    (none && has(german)).then_some("keine weiteren")
}
