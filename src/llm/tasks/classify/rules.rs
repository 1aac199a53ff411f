//! The rule of thumb for chat messages: what is always handed on, what is answered from state, and what is left alone.
//!
//! Owns the word lists. When in doubt a message is handed on: missing one costs more than reading one too many.

use super::{Classification, ClassifyInput, REASON_LIMIT, Verdict};
use crate::contracts::Priority;
use crate::llm::Ruled;
use crate::llm::tasks::intents::{self, Intent, SURE};
use crate::llm::tasks::respond::rules as respond;
use crate::llm::tasks::words::Words;

/// Words that are always handed on.
const ALWAYS: &str = "urgent, urgently, broken, stop, help, error, failed, idea, asap";
/// Words of alarm, in other languages too.
const ALARM: &str = "\
    urgent, urgently, emergency, asap, broken, stop, down, outage, crashed, blocklist, blacklisted, kaputt, achtung, \
    dringend, urgente, paren, roto, rota, cassé, casse, panne, arretez, pilne, zepsute, awaria, guasto, kapot, \
    quebrado, parem, fermate, notfall, hilfe, ayuda, socorro, aiuto, pomocy";
/// How proposals begin.
const IDEA: &str = "\
    what if, could we, can we, we could, we should, we can, should we, how about, what about, why dont we, why not, \
    lets, let us, maybe we, might be worth, worth testing, worth trying, worth a try, we might, i suggest, suggestion, \
    propose, proposal, i would try, id try, we ought, consider, imagine, wouldnt it be, would be cool, would be great, \
    konnen wir, konnten wir, wir sollten, wir konnten, wie ware, was ware wenn, podriamos, deberiamos, y si, et si, on \
    pourrait, pourrions, poderiamos, e se, potremmo, zullen we, kunnen we, moze, a moze, czy mozemy, powinnismy";
/// How requests begin, or what they contain.
const REQUEST: &str = "\
    please, pls, can you, could you, can somebody, can someone, could someone, somebody should, someone should, we \
    need, i need, need you, would you, make sure, bitte, por favor, s il vous plait, prosze, alstublieft";
/// Verbs that, at the beginning, ask for something to be done.
const DO: &str = "\
    kill, archive, pause, resume, restore, cancel, end, move, put, write, draft, send, build, create, add, change, \
    update, check, show, tell, give, run, launch, post, mail, email, forget, remember, drop, delete, remove, start, \
    schedule, find, scrape, invite, offer, publish, sponsor, raffle, record, prepare, fix, test, try, explain, \
    summarise, summarize, compare, list, note, buy, ask, answer, reply, follow";
/// What the team's work is about.
const WORK: &str = "\
    mail, mails, email, emails, campaign, campaigns, customer, customers, client, clients, lead, leads, prospect, \
    prospects, reply, replies, unsubscribe, unsubscribed, landing page, sign up, signup, signups, sign ups, \
    experiment, experiments, webinar, budget, price, pricing, cost, costs, contract, signed, demo, demos, bounce, \
    bounces, spam, domain, launch, users, buyer, buyers, market, sales, worklist, learning, learnings, api key, \
    conversion, conversions, newsletter, ads, audience, outreach, hypothesis, metrics, numbers, subject line, inbox, \
    complaint, complained, refund, competitor, competitors, trial, trials, churn, strategy, discount, feature, form, \
    page, website, analytics, installs, downloads, recipients, tool, scraper, csv, list of, crm, quarter";
/// What people tell who spoke to the market.
const TOLD: &str = "called, asked, talked, spoke, met, told, wrote, sold, interviewed, visited, heard";
/// What people say when they greet.
const GREETING: &str = "\
    hello, hi, hey, hiya, yo, good morning, morning, good evening, good afternoon, hallo, guten morgen, guten tag, \
    moin, servus, bonjour, salut, hola, buenos dias, buenas, ola, bom dia, ciao, buongiorno, hoi, goedemorgen, czesc, \
    dzien dobry, hej, greetings, howdy";
/// Talk that is no work.
const TALK: &str = "\
    lunch, dinner, breakfast, ramen, pizza, coffee, beer, weather, rain, sunny, snow, football, match, game, goal, \
    movie, film, series, theatre, music, song, cat, cats, dog, kid, kids, birthday, weekend, vacation, train, bus, \
    late, sick, kitchen, meeting room, office, party, gym, shoes, headphones, mug, hungry, tired, haha, lol, lmao, \
    rofl, omg, bye, goodbye, see you, good night, cheers, congrats, happy, thanks, thx, thank, ok, okay, sounds good, \
    cool, nice, great, yep, nope, sure, brb, afk, on my way, parking, traffic, tomorrow, charger, finals, yesterday night, beans, so tired, fridge, printer, dentist, holiday, finals, playlist";
/// What is left alone, or answered in passing, must be as sure as this.
const CERTAIN: f32 = 0.8;
/// What the team has to deal with.
const WANTS: &[Intent] = &[
    Intent::End,
    Intent::Pause,
    Intent::Resume,
    Intent::Change,
    Intent::Done,
    Intent::Unblocked,
    Intent::Order,
    Intent::Drop,
    Intent::Focus,
    Intent::Tool,
    Intent::Errand,
    Intent::Idea,
    Intent::Vague,
    Intent::Strategy,
    Intent::Debate,
    Intent::Question,
    Intent::Learning,
    Intent::Remark,
    Intent::Harm,
    Intent::Broken,
    Intent::News,
    Intent::Secret,
];
/// Small words of other languages.
const FOREIGN: &str = "\
    und, ist, der, die, das, wir, ihr, bei, nicht, mit, auf, les, des, est, nous, vous, pas, avec, los, las, que, por, \
    para, con, del, una, nao, com, sono, che, non, per, het, een, niet, van, jest, nie, sie, czy, dla, jak, como, pour";

/// The rule.
pub(super) fn rule(input: &ClassifyInput) -> Ruled<Classification> {
    let text = input.content.raw();
    let words = Words::of(text);
    let said = |action, priority, reason: &str| Ruled {
        output: Classification {
            action,
            reason: reason.chars().take(REASON_LIMIT).collect(),
            priority,
            suggested_response: None,
        },
        reasons: vec![reason.to_owned()],
    };
    let alarm = words.has(ALARM);
    let calm = words.has("not urgent, no hurry, no rush, some day, at some point");
    let priority = if alarm && !calm { Priority::High } else { Priority::Medium };
    let own = input
        .username
        .as_ref()
        .is_some_and(|name| Words::of(name.raw()).list().first().is_some_and(|word| word == "fullsend"));
    if own {
        return said(Verdict::Ignore, Priority::Low, "It is the team's own message.");
    }
    if without_emoji(text).is_empty() {
        return said(Verdict::Ignore, Priority::Low, "It has no words.");
    }
    if text.trim_start().starts_with('/') {
        return said(Verdict::Escalate, priority, "It begins with `/`, as commands do.");
    }
    let reading = intents::read::<Intent>(&words, text);
    let proposes = (words.has(IDEA) && !is_invitation(&words)) || reading.share(Intent::Idea) >= SURE;
    if input.mentions_bot && !proposes {
        return said(Verdict::Escalate, priority, "It speaks to the team by name.");
    }
    if respond::is_status_question(&words, text) {
        return said(Verdict::Answer, Priority::Low, "It asks how things stand, and state tells that.");
    }
    if let Some(word) = words.first_of(ALWAYS) {
        return said(Verdict::Escalate, priority, &format!("It has the word `{word}`, which is always handed on."));
    }
    let needs_nothing = reading.share_of(&[Intent::Talk, Intent::Thanks]);
    if needs_nothing >= CERTAIN && !words.has(WORK) {
        return said(Verdict::Ignore, Priority::Low, "It is talk that needs no work.");
    }
    let greets = reading.share(Intent::Greeting) + needs_nothing >= CERTAIN && words.len() <= 6;
    if greets && reading.best() == Intent::Greeting {
        return said(Verdict::Answer, Priority::Low, "It is a greeting.");
    }
    if let Some(meaning) = reading.surely().filter(|meaning| WANTS.contains(meaning)) {
        return said(Verdict::Escalate, priority, &reading.why(meaning));
    }
    if alarm && !words.has(TALK) {
        return said(Verdict::Escalate, Priority::High, "It sounds like an alarm.");
    }
    if proposes {
        return said(Verdict::Escalate, Priority::High, "It proposes something.");
    }
    if words.has(REQUEST) || words.begins(DO) {
        return said(Verdict::Escalate, priority, "It asks for something to be done.");
    }
    let told = words.has(TOLD) && words.counts();
    if told || words.has(WORK) {
        return said(Verdict::Escalate, priority, "It is about the team's work.");
    }
    if words.begins(GREETING) && words.list().len() <= 6 {
        return said(Verdict::Answer, Priority::Low, "It is a greeting.");
    }
    let wants = reading.share_of(WANTS) + reading.share(Intent::Status);
    if words.has(TALK) && wants < needs_nothing.max(0.5) || is_laughter(&words) {
        return said(Verdict::Ignore, Priority::Low, "It is talk that needs no work.");
    }
    if words.has(FOREIGN) || text.chars().any(|c| c.is_alphabetic() && !c.is_ascii()) {
        return said(Verdict::Escalate, priority, "It is written in a language that the rules do not read.");
    }
    let ours = words.has("we, our, us, you, they, them, everyone");
    let question = text.contains('?') && words.len() >= if ours { 3 } else { 5 };
    let enough = words.len()
        >= if ours {
            3
        } else if words.begins("i, im, my, ive") {
            12
        } else {
            7
        };
    if question || enough {
        return said(Verdict::Escalate, Priority::Low, "It cannot be told whether it matters, so it is handed on.");
    }
    if needs_nothing < 0.3 && wants >= 0.5 {
        return said(Verdict::Escalate, Priority::Low, "It reads as if something is wanted, so it is handed on.");
    }
    said(Verdict::Ignore, Priority::Low, "It is short, asks for nothing, and names nothing of the team's work.")
}

/// The text without emoji, also those that a chat writes as `:name:`.
fn without_emoji(text: &str) -> String {
    let named = |word: &&str| {
        let inner = word.trim_matches(':');
        !(word.len() > 2
            && word.starts_with(':')
            && word.ends_with(':')
            && inner.chars().all(|c| c.is_alphanumeric() || "_-+".contains(c)))
    };
    text.split_whitespace().filter(named).flat_map(str::chars).filter(|c| c.is_alphanumeric()).collect()
}

/// `anyone up for ramen?` proposes nothing to work on.
fn is_invitation(words: &Words) -> bool {
    words.has(TALK) && !words.has(WORK)
}

fn is_laughter(words: &Words) -> bool {
    words.list().iter().all(|word| word.chars().all(|c| "haeiolx".contains(c)))
}
