//! What people propose: a new test, or a change of one that runs.

use super::{Said, control};
use crate::contracts::{Priority, Trust};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::progress::OPTED_OUT;
use crate::llm::tasks::decide::rules::{Case, IDEA_LIMIT, channels, cut, name, notes};
use crate::llm::tasks::intents::{Intent, SURE};
use crate::llm::tasks::words::{Words, common, cover, is_listed, overlap};
use crate::memory::{ExperimentBrief, is_unwritten};

/// How proposals begin, or what they contain.
const IDEA: &str = "\
    what if, what about, how about, could we, can we, we could, we can, we should, should we, shouldnt we, couldnt we, \
    why dont we, why not, lets, let us, let a, let the, idea, ideas for, i suggest, suggestion, propose, proposal, \
    worth testing, worth trying, worth a try, worth a shot, imagine, we might, might be worth, \
    wouldnt it be, would be cool, would be great, maybe, perhaps, im thinking, i was thinking, thinking about, i think \
    we, we ought, consider, how would it be, would it work, would it make sense, id try, i would try, konnten wir, \
    konnen wir, wir konnten, wir sollten, wie ware, was ware wenn, lasst uns, sollten wir, podriamos, deberiamos, y \
    si, que tal si, et si, on pourrait, pourrions, on devrait, poderiamos, e se, que tal, potremmo, dovremmo, zullen \
    we, kunnen we, laten we, we kunnen, wat als, moze, czy mozemy, powinnismy, mozemy, a gdyby, could be big, has \
    potential";
/// Verbs that, at the beginning, order a test.
const DO: &str = "\
    test, try, scrape, sponsor, mail, email, write, send, offer, add, invite, launch, run, publish, post, partner, \
    host, start, give, live, livestream, stream, answer, record, raffle, print, hand, put, create, make, build, \
    target, reach, contact, call, text, message, ask, show, organise, organize, hold, place, advertise, promote, \
    translate, pitch, approach, collect, find, use, turn, share, set, do, buy, get, go, speak, visit, \
    interview, draft, design, open, compare, bring, teste, testen, schreib, probar, essayer";
/// Words that say little of who and how.
const VAGUE: &str = "\
    viral, ai, partnership, partnerships, growth, grow, big, bigger, marketing, social, media, sales, content, cool, \
    crazy, fun, creative, bold, different, brand, awareness, hype, buzz, influencers, influencer, seo, blockchain, \
    web3, tiktok, everyone, does, need, needs, us, more, leads, customers, users, money, success, really, soon, fast, \
    faster, quick, presence, online, engagement, community, push, harder, step, game, level, up, huge, scale, market, \
    do, stuff, magic, attention, famous, visibility, noise, explode, boost, skyrocket, great, awesome, work, works, \
    business, company, team, product";

/// What reads less like a proposal than this is none, whatever its words.
const HARDLY: f32 = 0.35;

/// Whether it proposes something, by its words.
pub(super) fn is_proposed(said: &Said) -> bool {
    said.words.has(IDEA)
}

/// Whether it begins as proposals do.
pub(super) fn begins_idea(said: &Said) -> bool {
    said.words.begins(IDEA) || said.reason.has("idea") && is_proposed(said)
}

/// Whether it begins with a verb, as orders do.
pub(super) fn is_order(said: &Said) -> bool {
    said.words.begins(DO)
}

/// Whether it begins with a verb that orders a test.
pub(super) fn begins_to_do(said: &Said) -> bool {
    said.words.begins(
        "\
        test, try, scrape, sponsor, mail, email, launch, publish, host, offer, answer, a b test, ab test, invite, \
        post, pitch, write to, send",
    )
}

/// What is done about a proposal.
pub(super) fn idea(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let ordered = words.begins(DO) || begins_to_do(said);
    let handed = said.reason.has("idea, idea_submit");
    let reads_so = said.reading.share_of(&[Intent::Idea, Intent::Vague, Intent::Change]);
    if reads_so < HARDLY && !(handed && is_proposed(said)) {
        return None;
    }
    if !(is_proposed(said)
        || ordered
        || handed
        || words.len() >= 12 && !said.text.contains('?') && !channels::of(words).is_empty())
    {
        return None;
    }
    proposed(case, said)
}

/// What is done about what is known to be a proposal.
pub(super) fn proposed(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    case.because("It proposes something to try.");
    if words.has(OPTED_OUT)
        && words.has("mail, email, write, message, call, text, contact, sms, letter, letters, newsletter, invite")
    {
        case.because("It would reach people who said that they do not want to hear from us.");
        return Some(
            case.tell("They asked us to stop, so nobody writes to them. Whom else would it reach?", Priority::Medium),
        );
    }
    if words.has(
        "\
        last time, like before, same as before, that thing, the thing we, the usual, as always, you know which, the \
        other one",
    ) && words.stems().len() <= 5
    {
        case.because("It refers to something that stands nowhere in what the team knows.");
        return Some(case.tell(
            "Which one do you mean? I find nothing in the notes that says; whom did it reach, and how?",
            Priority::Low,
        ));
    }
    if is_unwritten(&case.input.team.product.text) {
        case.because("There is no product context, without which no design can be right.");
        let mut decision = case.tell(
            "What do we sell, and to whom? Nobody has told me yet: answer `We sell … to …`; then say your idea again, and it \
             can be tested.",
            Priority::Medium,
        );
        if !is_vague(words) && !is_off_topic(case, said) {
            // The idea is good enough to be kept until then.
            decision.payload.title = Some(title(&said.text));
            decision.context_for_fullsend = Some(cut(&said.text, IDEA_LIMIT));
        }
        return Some(decision);
    }
    if is_off_topic(case, said) {
        case.because("It is about the team itself, not about reaching anybody.");
        return Some(
            case.tell("Sounds nice, but that is nothing to test on a market. Whom would it reach?", Priority::Low),
        );
    }
    known(case, said).or_else(|| Some(fresh(case, said)))
}

/// From outside, only what the watcher too took for an idea is worth a design; anything else may be an offer, or bait.
fn is_bait(case: &Case<'_>, said: &Said) -> bool {
    let proposes = said.reading.share_of(&[Intent::Idea, Intent::Vague, Intent::Change]);
    case.is_external() && !said.reason.has("idea, idea_submit") && proposes < SURE
}

/// It runs already, waits already, was learned to fail, or changes what runs.
fn known(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let stems = words.stems();
    if let Some(id) = changed(case, said) {
        case.because(&format!("It changes {id}, which goes on."));
        return Some(case.revise(&id, &format!("Change {id}"), &said.text.clone(), Priority::Medium));
    }
    if let Some((id, running)) = duplicate(case, words) {
        case.because(&format!("{id} does the same already."));
        return Some(case.tell(&format!("That is already {running}: {id}. What would be different?"), Priority::Low));
    }
    if let Some(learning) = notes::against(&case.input.team.learnings.text, words).filter(|_| !has_new_reason(words)) {
        case.because(&format!("Learnings speak against it: {}.", cut(&learning, 200)));
        return Some(case.tell(
            &format!("We learned: {}. What would be different this time?", cut(&learning, 300)),
            Priority::Medium,
        ));
    }
    let tried = case.input.team.archived.iter().find(|id| {
        let name = name(id).stems();
        name.len() >= 2 && cover(&name, &stems) >= 1.0
    });
    if let Some(id) = tried.filter(|_| !has_new_reason(words)).cloned() {
        case.because(&format!("{id} tried that, and was ended."));
        return Some(
            case.tell(&format!("That was tried: {id}, which was ended. What would be different?"), Priority::Medium),
        );
    }
    let text = case.input.team.worklist.text.clone();
    let queued = notes::items(&text)
        .into_iter()
        .filter(|item| item.is_in("ready") || item.is_in("active") || item.is_in("blocked"))
        // What waited for an answer is taken up when it is said again.
        .filter(|item| !(item.is_in("blocked") && item.line.contains("waits for an answer")))
        .find(|item| {
            let title = Words::of(&item.title()).stems();
            let met = common(&title, &stems);
            met >= 2 && cover(&title, &stems) >= 0.66 && (title.len() >= 3 || cover(&stems, &title) >= 0.4)
        });
    if let Some(item) = queued {
        let orders =
            case.input.trust >= Trust::Operator && (begins_to_do(said) || words.has("now, today, this week, start"));
        if !(orders && item.is_in("ready")) {
            case.because(&format!("It stands on the worklist already: {}.", cut(&item.title(), 160)));
            let section = if item.is_in("blocked") {
                "Blocked"
            } else if item.is_in("active") {
                "Active"
            } else {
                "Ready"
            };
            return Some(case.tell(
                &format!(
                    "That is already on the worklist ({section}): {}. Should it come first?",
                    cut(&item.title(), 160)
                ),
                Priority::Low,
            ));
        }
    }
    None
}

/// A new proposal.
fn fresh(case: &mut Case<'_>, said: &Said) -> Decision {
    let words = &said.words;
    if is_bait(case, said) {
        case.because("It came from outside, and does not read like an idea.");
        return case.tell("Somebody of the team should look at this before anything is done about it.", Priority::Low);
    }
    if is_vague(words) || said.reading.share(Intent::Vague) > said.reading.share(Intent::Idea).max(0.3) {
        case.because("It does not say whom it reaches, or how.");
        return case
            .tell("Whom would that reach, with what, and what would we count to know that it works?", Priority::Low);
    }
    let strategy = said.text.contains('?')
        && words.len() <= 16
        && words.has("should we, shall we, do we, would it")
        && words.has(
            "or, price, prices, pricing, budget, raise, hire, strategy, bigger, double, continue, rather, focus on",
        );
    if strategy {
        case.because("It asks for a direction, and what the team knows does not decide it.");
        return case.tell("What we know does not decide that yet. Shall the team discuss it at a round table, or do you have a preference?", Priority::Medium);
    }
    let calm = words.has(
        "\
        no hurry, no rush, some day, someday, at some point, not urgent, nice to have, low priority, when theres time, \
        when there is time, whenever, one day, eventually, backlog, for later",
    );
    if calm || case.input.team.held {
        case.because(if calm {
            "There is no hurry: it goes onto the worklist."
        } else {
            "The team is on hold: the idea is kept on the worklist."
        });
        let line = format!("1. {}{}", cut(&said.text, 200), if calm { " (low priority)" } else { "" });
        let list = notes::with_line(&case.input.team.worklist.text, "ready", &line, !calm);
        let priority = if calm { Priority::Low } else { Priority::Medium };
        return Decision { priority, ..case.rewrite(list) };
    }
    let soon = words.has(
        "\
        most important, top priority, urgent, urgently, asap, right now, today, this week, immediately, now",
    );
    let priority = if soon && case.input.trust >= Trust::Operator { Priority::High } else { Priority::Medium };
    if is_foreign(case, words) {
        case.because("It is said in another language than the learnings, so that they cannot be compared with it.");
        let list = notes::with_line(
            &case.input.team.worklist.text,
            "ready",
            &format!("1. {} (compare with the learnings)", cut(&said.text, 200)),
            false,
        );
        return case.rewrite(list);
    }
    case.because("It names something that can be tested, and nothing like it runs.");
    case.dispatch(&title(&said.text), &said.text.clone(), priority)
}

/// The proposal in a few words.
fn title(text: &str) -> String {
    let sentence = text
        .split_inclusive(['.', '!', '?', '\n'])
        .map(str::trim)
        .find(|part| part.split_whitespace().count() >= 3)
        .unwrap_or(text);
    cut(sentence.trim_end_matches(['.', '!', '?']), 90)
}

/// The experiment that it changes.
fn changed(case: &Case<'_>, said: &Said) -> Option<String> {
    let words = &said.words;
    let changes = words.has(
        "\
        instead of, change, reword, rephrase, subject line, subject lines, subject, shorter, longer, rename, tweak, \
        adjust, swap, different wording, wording, add a ps, first line, opening line, signature, send time, follow up, \
        the body, call to action",
    );
    let fits = control::described(case, words);
    let (best, id) = fits.first()?;
    let clear = fits.get(1).is_none_or(|(next, _)| *next < best - 0.1);
    let in_it = words.has("in the, for the, of the, to the, with the") || !said.ids().is_empty();
    (changes && clear && in_it && *best >= 0.5).then(|| id.clone())
}

/// The experiment that does the same, and how it stands.
fn duplicate(case: &Case<'_>, words: &Words) -> Option<(String, String)> {
    let stems = words.stems();
    let wanted = channels::of(words);
    let mut best: Option<(f64, &ExperimentBrief)> = None;
    for known in case.read() {
        let said = known.item.as_ref().map_or_else(|| known.about.clone(), |(_, item)| known.about.clone().and(item));
        let about = said.stems();
        let met = common(&stems, &about);
        if met < 2 {
            continue;
        }
        let theirs = channels::of(&said);
        let other_way = !wanted.is_empty() && !theirs.is_empty() && wanted.is_disjoint(&theirs);
        let share = overlap(&stems, &about);
        let line = if other_way || met < 3 {
            0.8
        } else if wanted.is_disjoint(&theirs) {
            0.5
        } else {
            0.42
        };
        if share >= line && best.is_none_or(|(top, _)| share > top) {
            best = Some((share, known.brief));
        }
    }
    best.map(|(_, known)| (known.id.clone(), known.state.clone()))
}

/// Whether the notes are in a language in which it is not said: then nothing tells whether it was learned to fail.
fn is_foreign(case: &Case<'_>, words: &Words) -> bool {
    let learnings = &case.input.team.learnings.text;
    if learnings.trim().is_empty() {
        return false;
    }
    let small = |words: &Words, list: &str| words.list().iter().filter(|word| is_listed(word, list)).count();
    let others = |words: &Words| small(words, SMALL_ELSEWHERE) > small(words, SMALL) * 2;
    others(words) && !others(&Words::of(notes::start_of(learnings)))
}

/// Small words of English, which every longer sentence has.
const SMALL: &str = "\
    the, a, an, of, to, and, in, we, i, for, with, on, that, it, is, are, at, by, from, or, our, they, this, be, as, \
    not, have, was, who, their, their, if, what, us, them, you, who";
/// Small words of other languages.
const SMALL_ELSEWHERE: &str = "\
    und, ist, der, die, das, wir, den, dem, bei, nicht, mit, auf, fur, ein, eine, zu, von, im, konnen, konnten, sollten, \
    le, la, les, des, du, un, une, est, nous, vous, on, pas, avec, aux, pour, et, il, faut, dans, \
    el, los, las, que, por, para, con, del, una, y, si, podemos, podriamos, una, \
    os, as, nao, com, dos, na, no, em, e, ao, um, uma, vamos, \
    sono, che, non, per, gli, alla, ai, con, della, se, di, \
    het, een, niet, van, we, naar, voor, met, de, \
    jest, nie, sie, czy, dla, jak, do, na, z, w, moze, mozemy, co";

/// What makes it another thing than what failed.
fn has_new_reason(words: &Words) -> bool {
    words.has(
        "\
        this time, but only, only to the, by hand, who already know, already know us, unlike, but instead, different \
        from",
    )
}

fn is_off_topic(case: &Case<'_>, said: &Said) -> bool {
    const TREATS: &str = "\
        pizza, lunch, dinner, beer, beers, cake, party, breakfast, coffee, karaoke, bowling, chairs, plants, dog, \
        table tennis, foosball, friday, offsite, snacks, ice cream, barbecue, bbq";
    let words = &said.words;
    let for_us = words.has(
        "\
        for the team, team event, our office, for us all, company party, team lunch, team dinner, ourselves, for \
        everyone here, office",
    );
    (for_us && words.has(TREATS) || words.has("pizza, karaoke, bowling, foosball") && words.len() <= 8)
        && !case.is_ours(words, TREATS)
}

/// Whether it says neither whom nor how.
fn is_vague(words: &Words) -> bool {
    let telling = words.stems();
    let vague = Words::of(VAGUE).stems();
    telling.difference(&vague).count() < 3
}
