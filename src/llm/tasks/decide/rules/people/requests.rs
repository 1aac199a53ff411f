//! What people ask for: a debate, help, something to remember, a change of the worklist, a tool.

use super::{Said, ideas};
use crate::contracts::{Priority, Trust};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut, notes, wanted};
use crate::llm::tasks::words::{Words, common, cover, overlap};

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
    if words.len() < 4 {
        case.because("A debate is wanted, but there is no question.");
        return Some(case.tell("What should be discussed?", Priority::Low));
    }
    case.because(if asked { "A debate is asked for." } else { "The team is stuck, and needs fresh views." });
    Some(case.debate(&cut(&said.text, 1_000)))
}

/// Somebody asks what the team can do.
pub(super) fn help(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let asks = words.has(
        "\
        what can you do, how do you work, who are you, how does this work, what commands, which commands",
    ) || words.len() <= 4 && words.has("help, commands, hilfe, aide, ayuda");
    asks.then(|| {
        case.because("Somebody asks what the team can do.");
        let what = "I decide what the team tests. Tell me an idea, ask how an experiment goes, or ask for a tool. \
                    `/status`, `/idea TEXT`, `/focus TEXT`, `/learn TEXT`, `/product TEXT`, `/pause`, `/go` and `/wtf` work at once.";
        case.tell(what, Priority::Low)
    })
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
    if !(asked || told || opinion && !said.text.contains('?'))
        || said.text.trim_end().ends_with('?')
        || !asked && (ideas::is_proposed(said) || ideas::begins_to_do(said)) && !words.has("fyi") && !told
    {
        return None;
    }
    if !asked && ideas::is_order(said) {
        return None;
    }
    if case.is_external() {
        return Some(case.nothing("It came from outside; what the team believes comes from the team."));
    }
    if !asked && told && ideas::is_proposed(said) && !words.has("said no, told me, fyi, calls") {
        return None;
    }
    let stems = words.stems();
    let known = notes::learnings(&case.input.team.learnings.text).into_iter().find(|learning| {
        cover(&Words::of(&learning.headline).stems(), &stems) >= 0.5 && overlap(&stems, &learning.words.stems()) >= 0.5
    });
    if let Some(learning) = known.filter(|_| !numbered(words)) {
        return Some(case.nothing(&format!("The learnings say so already: {}.", cut(&learning.headline, 160))));
    }
    let insists = words.has(
        "\
        remember, never, always, note that, keep in mind, for the record, record that, record this, write down, never \
        again",
    );
    if words.counts() && numbered(words) || insists && case.input.trust >= Trust::Operator {
        case.because("A person of the team tells what the market said, with numbers or on the operator's word.");
        return Some(case.learn(&headline(&said.text), vec![format!("{} (told in the chat)", cut(&said.text, 400))]));
    }
    case.because("It is an opinion so far: no numbers, no source.");
    Some(case.tell("What does that rest on? With numbers (how many people, how many of them) I keep it as a learning; or we test it.", Priority::Low))
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

/// The worklist is to change.
pub(super) fn worklist(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    if case.is_external()
        || said.text.trim_end().ends_with('?') && !said.words.has("can you, could you, can we, could we, please")
    {
        return None;
    }
    let words = &said.words;
    let text = case.input.team.worklist.text.clone();
    let items = notes::items(&text);
    if let Some(item) = meant(&items, words) {
        let title = item.title();
        let without = notes::without(&text, item.line);
        if words.has(
            "\
            done, tick off, ticked off, tick it off, finished, completed, check off, check it off, is live, went live, \
            erledigt, fertig, myself",
        ) && !words.has("when, until, not done, isnt done, should be done")
        {
            case.because(&format!("A person has done it: {title}."));
            return Some(case.rewrite(notes::with_line(
                &without,
                "completed",
                &format!("- [x] {title} - {}", cut(&said.text, 120)),
                false,
            )));
        }
        if item.is_in("blocked")
            && words.has(
                "\
                approved, arrived, unblocked, go ahead, got the, have the, is here, are here, is in, available, no \
                longer blocked, paid, topped up, resolved, solved, cleared, granted, renewed, is over, can start, can \
                continue, can go on",
            )
        {
            case.because(&format!("What blocked it is gone: {title}."));
            return Some(case.rewrite(notes::with_line(
                &without,
                "ready",
                &format!("1. {title} ({})", cut(&said.text, 120)),
                true,
            )));
        }
        if words.has(
            "\
            forget, drop, remove, delete, scrap, scratch, skip, take off, take it off, no longer need, not needed, \
            dont need, strike, cancel, abandon, bin, ditch",
        ) && !ideas::begins_idea(said)
        {
            case.because(&format!("It is to leave the worklist: {title}."));
            return Some(case.rewrite(without));
        }
    }
    if let Some(decision) = order(case, said, &items, &text) {
        return Some(decision);
    }
    focus(case, said, &text)
}

/// The item that is meant. People name one by some of its words; where two fit as well, none is meant for sure.
fn meant<'a, 'b>(items: &'b [notes::Item<'a>], words: &Words) -> Option<&'b notes::Item<'a>> {
    let stems = words.stems();
    let fit = |item: &notes::Item<'_>| {
        let title = Words::of(&item.title()).stems();
        let met = common(&title, &stems);
        if met >= 2 || met == title.len() { met } else { 0 }
    };
    let open = items.iter().filter(|item| !item.is_in("completed"));
    let mut fits: Vec<_> = open.map(|item| (fit(item), item)).filter(|(met, _)| *met > 0).collect();
    fits.sort_by_key(|fit| std::cmp::Reverse(fit.0));
    match fits.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, item), ..] => Some(*item),
        [] => None,
    }
}

/// An item of the queue comes sooner, or later: said of one in the whole message, or in one of its clauses.
fn order(case: &mut Case<'_>, said: &Said, items: &[notes::Item<'_>], worklist: &str) -> Option<Decision> {
    if ideas::begins_idea(said) || ideas::begins_to_do(said) {
        return None;
    }
    let clauses = said.text.split([',', ';', '.', '!']);
    let (item, is_later) = std::iter::once(said.text.as_str()).chain(clauses).find_map(|part| {
        let words = Words::of(part);
        let item = meant(items, &words).filter(|item| item.is_in("ready"))?;
        Some((item, is_later(&words)?))
    })?;
    case.because(&format!("The order is to change: {}.", item.title()));
    let line = format!("1. {}", item.words_of_it());
    Some(case.rewrite(notes::with_line(&notes::without(worklist, item.line), "ready", &line, !is_later)))
}

/// Whether something is to come later, or sooner; none where nothing is said of its place.
fn is_later(words: &Words) -> Option<bool> {
    const WAITS: &str = "\
        on hold, can wait, could wait, may wait, wait until, wait till, postpone, postponed, park, parked, defer, deferred, not \
        important, not that important, not so important, less important, lower priority, low priority, no rush, no hurry, not \
        urgent, not now, leave it for";
    const FIRST: &str = "\
        first, top, ahead of, prioritise, prioritize, reprioritise, reprioritize, most important, more important, matters most, \
        next up, before everything, higher priority";
    const MOVES: &str = "move, put, push, bump, swap, pull, go, goes, come, comes, do";
    const DOWN: &str = "bottom, last, down, lower, below, later, back, behind, after";
    const UP: &str = "above, before, next, up, ahead, higher, front, priority, forward";
    if words.has(WAITS) || words.has(MOVES) && words.has(DOWN) {
        Some(true)
    } else if words.has(FIRST) || words.has(MOVES) && words.has(UP) {
        Some(false)
    } else {
        None
    }
}

/// What matters now.
fn focus(case: &mut Case<'_>, said: &Said, worklist: &str) -> Option<Decision> {
    let words = &said.words;
    let sets = words.has(
        "\
        focus, focus on, only the, everything else, all else, nothing else, top priority, number one priority, comes \
        first, concentrate on, from now on, this week only, our priority, main priority, counts this, priorities, \
        fokus, prioridad",
    );
    if !sets
        || ideas::begins_idea(said)
        || ideas::begins_to_do(said)
        || said.text.contains('?')
        || words.len() > 40
        || words.has("focus group, focus groups")
    {
        return None;
    }
    if case.input.trust < Trust::Member {
        return None;
    }
    case.because("A person of the team says what matters now.");
    let line = format!("1. Focus: {}", cut(&said.text, 200));
    Some(case.rewrite(notes::with_line(worklist, "ready", &line, true)))
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
    let found = wanted::tool(&case.input.team, &said.text);
    match found {
        wanted::Tool::There(name) => {
            case.because(&format!("The tool {name} does that already."));
            Some(case.tell(&format!("There is a tool for that: {name}. What should it be used for?"), Priority::Medium))
        }
        wanted::Tool::UnderWay(title) => {
            case.because(&format!("Builder is working on it already: {title}."));
            Some(case.tell(&format!("Builder is working on that already: {title}."), Priority::Low))
        }
        wanted::Tool::Missing(_) if case.is_external() => {
            case.because("It came from outside; only the team orders tools.");
            Some(case.tell("Only people of the team can order a tool. What would you do with it?", Priority::Low))
        }
        wanted::Tool::Missing(_) if words.stems().len() < 3 => {
            case.because("It is not said what the tool should do.");
            Some(case.tell("What should the tool take, and what should it give?", Priority::Low))
        }
        wanted::Tool::Missing(name) => {
            case.because(&format!("A tool is asked for that is not there: {name}."));
            Some(case.build(&name, &cut(&said.text, 1_000), Vec::new(), Priority::Medium))
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
    let talk = is_talk(case, words);
    if ideas::is_proposed(said) && !talk {
        return None;
    }
    if words.has(THANKS) && !said.text.contains('?') && !words.has("but, please, however") {
        return Some(case.nothing("These are kind words, which need no work."));
    }
    let glad = said.text.contains('!') || words.has("just, finally, great news, good news, yay, hooray");
    if words.has(WON) && glad && !said.text.contains('?') && !ideas::begins_to_do(said) {
        case.because("It is good news, which the team should hear.");
        return Some(case.tell(
            "That is good news. What won them over? If it says something about others too, I keep it as a learning.",
            Priority::Low,
        ));
    }
    let told_as_idea = said.reason.has("idea") && words.len() > 8;
    if talk && said.ids().is_empty() && !told_as_idea {
        return Some(case.nothing("It is talk that has nothing to do with the team's work."));
    }
    None
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
