//! What a text is about: its telling words without their endings, and with one word for what people call by many.
//!
//! Owns the words that say nothing, the endings, and the words that mean the same. Must never know what is decided with them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use super::listed;

/// What a text is about.
pub(in crate::llm::tasks) type Stems = BTreeSet<String>;

/// Words that say nothing about what a text is about.
const EMPTY: &str = "\
    a, an, the, and, or, but, if, then, than, that, this, these, those, of, to, in, on, at, by, for, from, with, \
    about, as, into, is, are, was, were, be, been, being, am, do, does, did, done, have, has, had, will, would, can, \
    could, should, may, might, must, shall, i, me, my, we, us, our, ours, you, your, he, she, it, its, they, them, \
    their, who, whom, whose, what, which, when, where, why, how, not, no, yes, so, too, very, just, only, also, all, \
    any, some, each, every, more, most, much, many, one, ones, there, here, now, again, please, pls, up, out, off, \
    over, under, s, t, re, ll, d, m, ve, let, lets, maybe, perhaps, get, got, go, going, make, want, like, really, \
    actually, instead, because, since, until, while, still, already, ever, other, another, such, own, same, next, \
    last, first, new, dont, cant, wont, isnt, arent, didnt, doesnt, shouldnt, couldnt, wouldnt, im, id, thats, whats, \
    its, youre, theyre, weve, ive, thing, things, something, anything, everything, stuff, people, guy, guys, folks, \
    somebody, someone, anyone, everyone, everybody, use, using, used, try, trying, tried, test, testing, tests, \
    tested, idea, ideas, experiment, experiments, exp, campaign, campaigns, active, ready, blocked, priority, high, \
    low, medium, action, who, think, thought, know, see, look, good, great, nice, well, better, best, right, way, bit, \
    lot, lots, kind, sort, etc, eg, ie, vs, hi, hey, hello, ok, okay, und, der, die, das, wir, mit, bei, ein, eine, \
    den, fur, auf, zu, von, les, des, une, un, et, en, el, la, los, las, de, que, y, con, por, para, het, een, van, \
    per";

/// Endings, the longest first.
const ENDINGS: &str = "ations, ation, ings, ment, ing, ies, ers, ied, ions, ion, er, ed, es, ly, s, y, e";

/// Words that mean the same for us, each line under its first. They are compared as stems.
const SAME: &str = "\
    mail, email, inbox, mailbox \n\
    sms, text, whatsapp \n\
    call, phon, telephon, ring, dial \n\
    star, stargaz \n\
    competitor, rival, competit, competition \n\
    customer, client, custom \n\
    developer, dev, programm, develop, coder, engine \n\
    answer, respond, repl, respons, reply, react \n\
    buy, bought, purchas, sell, sold, vendor, broker, pay \n\
    list, address, contact, databas \n\
    bot, automat, autopilot, script \n\
    video, clip, reel \n\
    ad, ads, paid, advert, advertis, adword, banner \n\
    fair, tradeshow, expo, exhibit, tradefair \n\
    flyer, leaflet, flier \n\
    meetup, gather \n\
    webinar, seminar, workshop \n\
    podcast, listener \n\
    forum, board, subreddit, reddit, thread, communit \n\
    company, firm, compan, busines, business \n\
    charit, ngo, nonprofit \n\
    pric, cost, price \n\
    refer, referral, recommend \n\
    newslett, newsletter, digest \n\
    doctor, physician, gp \n\
    leader, head, chief, boss \n\
    find, found, discover \n\
    read, pars \n\
    scrap, crawl, harvest \n\
    invit, invite \n\
    subject, headline, titl";

static EMPTY_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| listed(EMPTY).collect());
static SAME_WORDS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let names = |line: &'static str| {
        line.split(',').next().map(str::trim).map(|first| listed(line).map(move |name| (name, first)))
    };
    SAME.lines().filter_map(names).flatten().collect()
});

/// The stems of the telling words.
pub(super) fn of(words: &[String]) -> Stems {
    let mut stems: Stems = words
        .iter()
        .filter(|word| word.len() > 1 && !EMPTY_WORDS.contains(word.as_str()))
        .map(|word| stem(word))
        .collect();
    if words.windows(2).any(|pair| pair[0] == "trade" && (pair[1].starts_with("show") || pair[1].starts_with("fair"))) {
        stems.insert("fair".to_owned());
    }
    stems
}

/// What both are about.
pub(in crate::llm::tasks) fn common(a: &Stems, b: &Stems) -> usize {
    a.intersection(b).count()
}

/// How much of the smaller the other has: 0 for nothing, 1 for all of it. Sets of one or two say little.
pub(in crate::llm::tasks) fn overlap(a: &Stems, b: &Stems) -> f64 {
    share(common(a, b), a.len().min(b.len()).max(3))
}

/// How much of the first the second has.
pub(in crate::llm::tasks) fn cover(of: &Stems, by: &Stems) -> f64 {
    if of.is_empty() { 0.0 } else { share(common(of, by), of.len()) }
}

#[expect(clippy::cast_precision_loss, reason = "a share of some dozens")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// A word without its ending, roughly, and by the name that we use for it.
fn stem(word: &str) -> String {
    let bare = bare(word);
    let one = || word.strip_suffix('s').and_then(|one| SAME_WORDS.get(one));
    let name = SAME_WORDS.get(bare).or_else(|| SAME_WORDS.get(word)).or_else(one).copied().unwrap_or(bare);
    name.to_owned()
}

fn bare(word: &str) -> &str {
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return word;
    }
    for ending in listed(ENDINGS) {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.chars().count() >= if ending.len() <= 3 { 3 } else { 4 }
        {
            return undoubled(rest);
        }
    }
    word
}

/// `starr` of `starred` is `star`.
fn undoubled(stem: &str) -> &str {
    let mut last = stem.chars().rev();
    match (last.next(), last.next()) {
        (Some(a), Some(b)) if a == b && !"aeiouls".contains(a) => &stem[..stem.len() - a.len_utf8()],
        _ => stem,
    }
}
