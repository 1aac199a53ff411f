//! What people ask for: a debate, help, something to remember, a tool.

use super::{Said, ideas};
use crate::contracts::{Priority, Trust};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut, notes, wanted};
use crate::llm::tasks::intents::Intent;
use crate::llm::tasks::words::{Words, cover, overlap};

/// A debate is wanted, or the team is stuck.
pub(super) fn debate(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    const ASKED: &str = "\
        roundtable, round table, brainstorm, brainstorming, debate, discuss, discussion, put our heads together, hash \
        out, think together, several opinions, different opinions, pros and cons, weigh up, diskutieren, diskutiert, \
        debatte";
    const STUCK: &str = "\
        out of ideas, stuck, in circles, no idea what else, nothing works, run out of, ran out of, dead end, fresh \
        ideas, new ideas, fresh view, fresh views, clueless, at a loss, dont know what else, do not know what else, \
        what else could we, what else can we";
    let words = &said.words;
    let asked = words.has(ASKED)
        && !words.has("round table dinner, roundtable dinner, invite, host, attend, sponsor, was held, webinar");
    if !(asked || words.has(STUCK) && !words.has("traffic, train, elevator")) || case.is_external() {
        return None;
    }
    Some(debated(case, said))
}

/// A debate, where there is something to talk about.
pub(super) fn debated(case: &mut Case<'_>, said: &Said) -> Decision {
    if said.words.len() < 4 {
        case.because("A debate is wanted, but there is no question.");
        return case.tell("What should be discussed?", Priority::Low);
    }
    case.because("A debate is asked for, or the team needs fresh views.");
    case.debate(&cut(&said.text, 1_000))
}

/// Somebody asks what the team can do.
pub(super) fn help(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let asks = words.has(
        "\
        what can you do, how do you work, who are you, how does this work, what commands, which commands",
    ) || words.len() <= 4 && words.has("help, commands, hilfe, aide, ayuda");
    asks.then(|| helped(case))
}

/// What the team can do.
pub(super) fn helped(case: &mut Case<'_>) -> Decision {
    case.because("Somebody asks what the team can do.");
    let what = "I decide what the team tests. Tell me an idea, ask how an experiment goes, or ask for a tool. \
                `/status`, `/idea TEXT`, `/focus TEXT`, `/learn TEXT`, `/product TEXT`, `/pause`, `/go` and `/wtf` work at once.";
    case.tell(what, Priority::Low)
}

/// A person did, or refused, what they were asked to do.
pub(super) fn action_complete(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    if !said.reason.has("action_complete") && !said.words.begins("action") {
        return None;
    }
    let refused =
        said.words.has("rejected, refused, declined, denied, skipped") || said.reason.has("rejected, refused");
    let worklist = case.input.team.worklist.text.clone();
    let item = notes::items(&worklist).into_iter().find(|item| {
        item.words.list().iter().any(|word| {
            word.len() >= 6 && word.contains(|c: char| c.is_ascii_digit()) && said.words.list().contains(word)
        })
    });
    if let Some(item) = item {
        let note = if refused { "was refused" } else { "is done" };
        case.because(&format!("What a person was asked for {note}."));
        let (section, line) = if refused {
            ("blocked", format!("{} ({})", item.line.trim_end(), cut(&said.text, 120)))
        } else {
            ("ready", format!("1. {}", item.title()))
        };
        let changed = notes::with_line(&notes::without(&worklist, item.line), section, &line, !refused);
        return Some(case.rewrite(changed));
    }
    case.because("A person answered what they were asked to do.");
    Some(case.tell(
        &format!("Noted: {}.{}", cut(&said.text, 200), if refused { " What should we do instead?" } else { "" }),
        Priority::Medium,
    ))
}

/// Something is to be remembered.
pub(super) fn learning(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    const REMEMBER: &str = "\
        remember, note that, note to all, for the record, keep in mind, write down, record that, record this, lesson, \
        lesson learned, we learned, learning, takeaway, take away, never again, fyi, fun fact, heads up, turns out, as \
        it turns out, i learned, noticed, i noticed, merkt euch, save this";
    const HEARD: &str = "\
        called, calls, asked, talked, spoke, met, told, interviewed, visited, heard, surveyed, said, say, says, tried, \
        tested, answered, replied, hung up, counted";
    let words = &said.words;
    let asked = words.has(REMEMBER)
        && !words.has("remember when, do you remember, what did we, which lesson, what have we learned");
    let told = words.has(HEARD) && numbered(words) && !said.text.contains('?');
    let opinion = words.has(
        "\
        trust me, believe me, obviously, everybody knows, everyone knows, i bet, im sure, no doubt, hate us, love us, \
        definitely, for sure, my gut, i feel",
    ) && !ideas::is_proposed(said);
    // What the team believes is not changed because of a word and a number.
    if said.reading.share_of(&[Intent::Learning, Intent::Opinion]) < 0.25 {
        return None;
    }
    if !(asked || told || opinion && !said.text.contains('?'))
        || said.text.trim_end().ends_with('?')
        || !asked && (ideas::is_proposed(said) || ideas::begins_to_do(said)) && !words.has("fyi") && !told
    {
        return None;
    }
    if !asked && ideas::is_order(said) {
        return None;
    }
    if !case.is_external() && !asked && told && ideas::is_proposed(said) && !words.has("said no, told me, fyi, calls") {
        return None;
    }
    Some(learned(case, said))
}

/// What a person tells of the market: kept where it has numbers, asked about where it has none.
pub(super) fn learned(case: &mut Case<'_>, said: &Said) -> Decision {
    let words = &said.words;
    if case.is_external() {
        return case.nothing("It came from outside; what the team believes comes from the team.");
    }
    let stems = words.stems();
    let known = notes::learnings(&case.input.team.learnings.text).into_iter().find(|learning| {
        cover(&Words::of(&learning.headline).stems(), &stems) >= 0.5 && overlap(&stems, &learning.words.stems()) >= 0.5
    });
    if let Some(learning) = known.filter(|_| !numbered(words)) {
        return case.nothing(&format!("The learnings say so already: {}.", cut(&learning.headline, 160)));
    }
    let insists = words.has(
        "\
        remember, never, always, note that, keep in mind, for the record, record that, record this, write down, never \
        again",
    );
    if words.counts() && numbered(words) || insists && case.input.trust >= Trust::Operator {
        case.because("A person of the team tells what the market said, with numbers or on the operator's word.");
        return case.learn(&headline(&said.text), vec![format!("{} (told in the chat)", cut(&said.text, 400))]);
    }
    case.because("It is an opinion so far: no numbers, no source.");
    case.tell("What does that rest on? With numbers (how many people, how many of them) I keep it as a learning; or we test it.", Priority::Low)
}

/// Whether it has numbers that are evidence: digits, or two in words.
fn numbered(words: &Words) -> bool {
    words.counts()
}

/// What is learned, in a line.
fn headline(text: &str) -> String {
    let mut rest = text.trim();
    for opener in [
        "fyi from my calls:",
        "fyi:",
        "fyi,",
        "fyi",
        "remember:",
        "remember that",
        "remember",
        "note that",
        "heads up:",
        "for the record:",
        "learned:",
    ] {
        if rest.get(..opener.len()).is_some_and(|start| start.eq_ignore_ascii_case(opener)) {
            rest = rest[opener.len()..].trim_start_matches([' ', ':', ',']);
        }
    }
    cut(rest, 180)
}

/// A tool is asked for.
pub(super) fn tool(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    const TOOL: &str = "\
        tool, script, scraper, crawler, parser, finder, importer, exporter, converter, integration, connector, plugin, \
        checker, reader, extractor, werkzeug";
    const MAKE: &str = "\
        build, built, make, made, write, create, need, needs, code, program, develop, get, want, have, missing, could \
        use, would help, baut, bauen, fix, repair, extend";
    let words = &said.words;
    let something = words.has("something that, anything that, something which, something to")
        && words.has("need, build, make, needs, missing, get, have, want, could use");
    let builds = words.has("build, code up, program, develop")
        && words
            .first_of(
                "\
                publisher, finder, reader, sender, scraper, importer, checker, enricher, monitor, tracker, calculator, \
                generator",
            )
            .is_some();
    let worked_on = wanted::named(&said.text).is_some() && words.has("build, make, need, write, create");
    if !(words.has(TOOL) && words.has(MAKE) || something || builds || worked_on)
        || words.begins("why, which, how many, is, does, what") && !words.begins("what about a tool, is there a tool")
    {
        return None;
    }
    if said.reason.has("idea") && !something && !words.has("tool, script, build") {
        return None;
    }
    Some(build(case, said))
}

/// A tool that is wanted: what there is, what is under way, or an order.
pub(super) fn build(case: &mut Case<'_>, said: &Said) -> Decision {
    let words = &said.words;
    match wanted::tool(&case.input.team, &said.text) {
        wanted::Tool::There(name) => {
            case.because(&format!("The tool {name} does that already."));
            case.tell(&format!("There is a tool for that: {name}. What should it be used for?"), Priority::Medium)
        }
        wanted::Tool::UnderWay(title) => {
            case.because(&format!("Builder is working on it already: {title}."));
            case.tell(&format!("Builder is working on that already: {title}."), Priority::Low)
        }
        wanted::Tool::Missing(_) if case.is_external() => {
            case.because("It came from outside; only the team orders tools.");
            case.tell("Only people of the team can order a tool. What would you do with it?", Priority::Low)
        }
        wanted::Tool::Missing(_) if words.stems().len() < 3 => {
            case.because("It is not said what the tool should do.");
            case.tell("What should the tool take, and what should it give?", Priority::Low)
        }
        wanted::Tool::Missing(name) => {
            case.because(&format!("A tool is asked for that is not there: {name}."));
            case.build(&name, &cut(&said.text, 1_000), Vec::new(), Priority::Medium)
        }
    }
}

/// Thanks, praise, news that please, and talk.
pub(super) fn kind_words(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    const THANKS: &str = "\
        thanks, thank you, thx, great work, great job, well done, good job, nice work, good work, congrats, \
        congratulations, kudos, bravo, danke, merci, gracias, obrigado, grazie, dzieki, bedankt, love it, amazing \
        work, awesome work, helped a lot";
    const WON: &str = "\
        signed, signed up, closed, won, bought, renewed, booked, first sale, first customer, upgraded, subscribed, \
        deal";
    let words = &said.words;
    let talk = is_talk(case, words) && matches!(said.reading.best(), Intent::Talk | Intent::Thanks | Intent::Greeting);
    if ideas::is_proposed(said) && !talk {
        return None;
    }
    if words.has(THANKS) && !said.text.contains('?') && !words.has("but, please, however") {
        return Some(case.nothing("These are kind words, which need no work."));
    }
    let glad = said.text.contains('!') || words.has("just, finally, great news, good news, yay, hooray");
    if words.has(WON) && glad && !said.text.contains('?') && !ideas::begins_to_do(said) {
        return Some(gladdened(case));
    }
    let told_as_idea = said.reason.has("idea") && words.len() > 8;
    if talk && said.ids().is_empty() && !told_as_idea {
        return Some(case.nothing("It is talk that has nothing to do with the team's work."));
    }
    None
}

/// Good news.
pub(super) fn gladdened(case: &mut Case<'_>) -> Decision {
    case.because("It is good news, which the team should hear.");
    case.tell(
        "That is good news. What won them over? If it says something about others too, I keep it as a learning.",
        Priority::Low,
    )
}

/// Talk that is no work. What the product is about is work, whatever it is called: who sells school lunches speaks of lunch.
fn is_talk(case: &Case<'_>, words: &Words) -> bool {
    const TALK: &str = "\
        lunch, dinner, ramen, pizza, coffee, beer, beers, weather, rain, sunny, football, match, game tonight, movie, \
        series, theatre, cat, cats, dog, birthday, weekend, vacation, holiday, gym, shoes, headphones, mug, hungry, \
        tired, haha, hahaha, lol, lmao, rofl, laughing, funny, hilarious, parking, traffic, cake, karaoke, bus, \
        kitchen, meeting room, bye, see you, good night, tacos, sushi, burger, barbecue, bbq, party, team event, happy \
        hour, playlist, song, meme, memes, kittens, office, fridge, printer, sick, dentist appointment";
    const WORK: &str = "\
        customer, customers, lead, leads, prospect, prospects, mail, mails, email, emails, experiment, experiments, \
        campaign, invite, users, buyers, sponsor, sponsored, offer, market, sms, booth, sign up, signups, signup, \
        installs, demo, demos, webinar, talk at, conference, companies, owners, managers, developers, engineers, \
        partners, visitors, audience, list, replies, founders, producers, accountants, post, posts, ad, ads, page, qr, \
        flyers, stickers, video ad, shops, tool, api, budget, trial";
    words.has(TALK) && !words.has(WORK) && !case.is_ours(words, TALK)
}
