use std::collections::BTreeSet;

use chrono::NaiveDate;
use pretty_assertions::assert_eq;
use proptest::prelude::*;

use super::*;
use crate::experiments::document;
use crate::experiments::spec::{Mode, OutreachChannel};
use crate::experiments::steps::plan;

const PRODUCT: &str = "# Product context\n\nWhat is being sold: Tessera scans APIs for leaks before they ship.\n\nFor whom: CTOs and \
                       AppSec leads of SaaS companies\n\nWhat we may never say or do: promise certification\n";

fn input(idea: &str) -> DesignInput {
    DesignInput {
        idea: idea.to_owned(),
        product: PRODUCT.to_owned(),
        today: NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(),
        ..DesignInput::default()
    }
}

fn design(input: &DesignInput) -> Spec {
    let Ruled { output, reasons } = DesignExperiment::rule(input);
    let faults = DesignExperiment::faults(input, &output);
    assert_eq!(faults, Vec::<String>::new(), "{}", input.idea);
    assert!(!reasons.is_empty());
    output.experiment
}

/// Ten ideas as people have them.
const IDEAS: [&str; 10] = [
    "What if we mailed developers who starred optic/optic and stoplightio/spectral in the last 60 days?",
    "Companies on Hacker News are hiring API security engineers right now. Write to them every month.",
    "Win back the users who went quiet: mail those in quiet_users.csv who have not logged in for 90 days",
    "We were at API Days Berlin. Follow up with the attendees in attendees.csv while they remember us",
    "Sponsor a newsletter that AppSec people read. newsletters.csv has 40 editors",
    "Pitch me as a guest to podcasts about API security, the hosts are in podcasts.csv",
    "Ask the makers of API gateways for an integration partnership, list in partners.csv",
    "Find five design partners for the new runtime scanner, from beta_wishlist.csv",
    "Interview customers who cancelled in the last 90 days about why they churned (cancellations.csv)",
    "Offer maintainers of open source API frameworks a free plan, they are in maintainers.csv, and really simulate nothing",
];

#[test]
fn ten_ideas_are_ten_experiments() {
    let specs: Vec<Spec> = IDEAS.iter().map(|idea| design(&input(idea))).collect();
    let distinct = |of: &dyn Fn(&Spec) -> String| specs.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&|spec| spec.id.clone()), 10);
    assert_eq!(distinct(&|spec| spec.target.description.clone()), 10, "audience");
    assert_eq!(distinct(&|spec| spec.target.source.clone().unwrap_or_default()), 10, "source");
    let copy =
        |spec: &Spec| spec.outreach.as_ref().map(|it| format!("{:?}{}", it.subject, it.template)).unwrap_or_default();
    let plays: Vec<_> = specs.iter().map(|spec| spec.sources["outreach.channel"].clone()).collect();
    assert_eq!(distinct(&copy), 10, "copy: {plays:#?}");
    let numbers = |spec: &Spec| format!("{:?}{:?}{:?}", spec.target.size, spec.success_criteria, spec.failure_criteria);
    assert_eq!(distinct(&numbers), 10, "numbers");
    for spec in &specs {
        plan(spec).unwrap();
        let text = document::yaml(spec).unwrap();
        assert!(!text.contains("[["), "{text}");
        assert_eq!(read::read(&text).spec.as_ref(), Some(spec), "{text}");
        for path in [
            "id",
            "hypothesis",
            "mode",
            "target.description",
            "target.size",
            "outreach.template",
            "success_criteria",
            "metrics",
            "outreach.recipients",
            "outreach.variants[0]",
            "execution.missed",
        ] {
            assert!(spec.sources.contains_key(path), "{path} of {} has no source", spec.id);
        }
    }
    insta::assert_snapshot!(document::yaml(&specs[0]).unwrap());
}

#[test]
fn a_list_that_is_named_is_used_and_one_that_is_not_is_simulated() {
    let mut with_list = input("mail the 40 people in leads.csv about leaking APIs");
    with_list.list = Some(ListBrief { path: "leads.csv".to_owned(), columns: vec!["email".to_owned()], people: 40 });
    let spec = design(&with_list);
    let step = &spec.execution.steps[0];
    assert_eq!((step.tool.as_str(), step.params["path"].as_str()), ("csv_leads", Some("leads.csv")));
    assert_eq!((spec.mode, spec.target.size), (Mode::DryRun, Some(40)));

    let spec = design(&input("write to people who abandoned our pricing page"));
    assert_eq!((spec.mode, spec.execution.steps[0].tool.as_str()), (Mode::Simulation, "simulated_audience"));
    assert!(spec.manual_steps_required[0].contains("pricing_visitors.csv"), "{:?}", spec.manual_steps_required);
    assert!(spec.notes.unwrap().contains("simulated"));
    let spec = design(&input("what if we wrote to people who starred other build caches?"));
    assert_eq!(spec.mode, Mode::Simulation, "no repository is named, so there is nobody");
    let spec = design(&input("simulate mailing leads.csv"));
    assert_eq!(spec.mode, Mode::Simulation);
}

#[test]
fn it_really_sends_only_where_that_is_asked_for_and_can_be() {
    let mut wanted = input("really send a mail to leads.csv about leaking APIs");
    assert_eq!(design(&wanted).mode, Mode::DryRun, "no sender is set");
    wanted.sender = Some("mara@acme.example".to_owned());
    let spec = design(&wanted);
    assert_eq!(spec.mode, Mode::Live);
    assert_eq!(spec.outreach.unwrap().sender.as_deref(), Some("mara@acme.example"));
    wanted.idea = "send a mail to leads.csv about leaking APIs".to_owned();
    assert_eq!(design(&wanted).mode, Mode::DryRun, "nobody said that it is for real");
}

#[test]
fn what_was_learned_is_used_and_named() {
    let mut knowing = input("cold email to leads.csv about leaking APIs");
    knowing.product = String::new();
    knowing.learnings =
        "## 2026-02-01\n**Cold email about APIs: 12% replies on Tuesdays, the best day**\n- 200 sends\n".to_owned();
    knowing.tactical = vec!["CTOs respond to cold email about APIs, CFOs don't".to_owned()];
    let spec = design(&knowing);
    assert!(spec.success_criteria[0].starts_with("reply_rate >= 12%"), "{:?}", spec.success_criteria);
    assert!(spec.sources["success_criteria"].starts_with("learning: Cold email about APIs"), "{:?}", spec.sources);
    assert!(spec.target.description.contains("CTOs"), "{}", spec.target.description);
    assert_eq!(spec.execution.schedule.as_deref(), Some("0 9 * * TUE"));
}

#[test]
fn an_idea_says_when_how_many_and_through_what() {
    let spec = design(&input(
        "Every Thursday at 3pm ask 200 founders from founders.csv on LinkedIn about leaking APIs, at least 10% replies, 15 messages a day",
    ));
    let outreach = spec.outreach.unwrap();
    assert_eq!(spec.execution.schedule.as_deref(), Some("0 15 * * THU"));
    assert_eq!(
        (spec.target.size, outreach.channel, outreach.daily_limit),
        (Some(200), OutreachChannel::Linkedin, Some(15))
    );
    assert!(spec.success_criteria[0].starts_with("reply_rate >= 10%"));
    assert!(spec.target.description.starts_with("Founders"), "{}", spec.target.description);
}

#[test]
fn what_is_sold_is_read_in_its_several_forms() {
    let read = |text: &str| {
        let product = team::product(text);
        (product.name.unwrap_or_default(), product.promise.unwrap_or_default(), product.who.unwrap_or_default())
    };
    let parts = |name: &str, promise: &str, who: &str| (name.to_owned(), promise.to_owned(), who.to_owned());
    assert_eq!(
        read(PRODUCT),
        parts("Tessera", "it scans APIs for leaks before they ship", "CTOs and AppSec leads of SaaS companies")
    );
    assert_eq!(
        read("We sell a build cache to platform teams"),
        parts("our build cache", "made for platform teams", "Platform teams")
    );
    assert_eq!(
        read("Ferrodb is an open-source embedded database with sync. Audience: firmware and edge developers."),
        parts("Ferrodb", "an open-source embedded database with sync", "Firmware and edge developers")
    );
    for (text, name, promise, who) in [
        ("We sell Tessera, which scans APIs for leaks", "Tessera", "it scans APIs for leaks", ""),
        ("We sell Tessera, which scans APIs, to CTOs", "Tessera", "it scans APIs", "CTOs"),
        ("We sell Tessera, that is an API scanner", "Tessera", "an API scanner", ""),
        ("We sell Tessera, which you can run anywhere", "Tessera", "one that you can run anywhere", ""),
        ("We sell Tessera, a way to ship without fear", "Tessera", "a way to ship without fear", ""),
        ("We sell Tessera (an API scanner) to CTOs", "Tessera", "an API scanner", ""),
        ("We sell Tessera to CTOs", "Tessera", "made for CTOs", "CTOs"),
        (
            "We build a cache that halves CI time, for platform teams",
            "our cache",
            "it halves CI time",
            "Platform teams",
        ),
        ("We're building a build cache, which connects to any CI", "our build cache", "it connects to any CI", ""),
        ("Tessera, which scans APIs", "Tessera", "it scans APIs", ""),
        ("Tessera which scans APIs every night", "Tessera", "it scans APIs every night", ""),
        ("Tessera is an API scanner", "Tessera", "an API scanner", ""),
        ("Tessera - API scanning for small teams", "Tessera", "API scanning for small teams", ""),
        ("Our product, Tessera, scans APIs every night", "Tessera", "it scans APIs every night", ""),
        ("We sell Tessera: an API scanner", "Tessera", "an API scanner", ""),
        ("Our product is an API scanner for CTOs", "our API scanner", "made for CTOs", "CTOs"),
    ] {
        assert_eq!(read(text), parts(name, promise, who), "{text}");
    }
    assert_eq!(read("# Product context\n\nWhat is being sold: (fill in)\n"), parts("", "", ""));
    assert_eq!(
        read("A build cache for platform teams."),
        parts("our build cache", "made for platform teams", "Platform teams")
    );
}

#[test]
fn what_is_sold_is_told_in_a_sentence() {
    for (text, pitch) in [
        (PRODUCT, "Tessera scans APIs for leaks before they ship."),
        ("We sell a build cache to platform teams", "Our build cache is made for platform teams."),
        ("We sell Pylon, which writes shift plans for cleaning firms", "Pylon writes shift plans for cleaning firms."),
        ("Tessera, an API scanner", "Tessera is an API scanner."),
        ("Voxhall: live captions in lecture halls", "Voxhall: live captions in lecture halls."),
    ] {
        assert_eq!(team::product(text).pitch.as_deref(), Some(pitch), "{text}");
    }
    assert_eq!(team::product("").pitch, None);
}

/// The mails of a design, as somebody with these fields would read them.
fn mails(spec: &Spec) -> String {
    let person = serde_json::json!({ "first_name": "Ada", "company": "Example Works", "email": "ada@example.com" });
    let person = person.as_object().unwrap();
    let outreach = spec.outreach.as_ref().unwrap();
    let said = |text: &str| crate::experiments::outreach::render(text, person).unwrap();
    let mut out = vec![format!("{} people: {}", spec.mode, spec.target.description)];
    let first = outreach.subject.as_deref().unwrap_or_default();
    for variant in &outreach.variants {
        let subject = variant.subject.as_deref().unwrap_or(first);
        let text = variant.template.as_deref().unwrap_or(&outreach.template);
        out.push(format!("--- {}: {}\n{}", variant.name, said(subject), said(text)));
    }
    for follow_up in &outreach.follow_ups {
        out.push(format!("--- after {}\n{}", follow_up.after, said(&follow_up.template)));
    }
    out.push(String::new());
    out.join("\n")
}

/// Read as a recipient would: with a product and a topic, and with nothing known but the idea.
#[test]
fn mails_read_as_a_person_would_write_them() {
    let journey = DesignInput {
        product: "We sell Pylon, which writes shift plans for cleaning firms".to_owned(),
        sender_name: Some("Mara".to_owned()),
        ..input("Mail the operations managers in leads.csv whose trial runs out, really send it, every minute")
    };
    let first = DesignInput {
        product: "We sell a build cache to platform teams".to_owned(),
        ..input("What if we wrote to people who starred other build caches?")
    };
    let topic = input("cold email to the CTOs in leads.csv about leaking APIs");
    let bare = |idea: &str| DesignInput { product: String::new(), ..input(idea) };
    let all = [
        journey,
        first,
        topic,
        bare("mail leads.csv"),
        bare("ask maintainers of open source projects, offer them a free plan"),
        bare("Win back the users who went quiet"),
        bare("podcast pitch"),
        bare("referrals"),
    ];
    let read: Vec<String> = all.iter().map(|input| format!("# {}\n{}", input.idea, mails(&design(input)))).collect();
    let read = read.join("\n");
    for gap in ["[[", "]]", "||", "our product:", "{{"] {
        assert!(!read.contains(gap), "{gap}");
    }
    insta::assert_snapshot!(read);
}

/// Whatever failed, was simulated or was complained about gives the next one no numbers.
#[test]
fn only_what_was_measured_on_people_and_worked_gives_numbers() {
    let good = |learnings: &str| {
        team::learned(learnings, &[], "cold email about leaking APIs").first().map(|learned| learned.good)
    };
    assert_eq!(good("**Cold email about leaking APIs: 12% replies**\n"), Some(Some(0.12)));
    assert_eq!(good("**Does not work: cold email about leaking APIs, at least 8% replies**\n"), Some(None));
    assert_eq!(good("**In a simulation: Works: cold email about leaking APIs, 9% replies**\n"), Some(None));
    assert_eq!(good("**Cold email about leaking APIs: only 1% replied**\n"), Some(None));
    assert_eq!(
        good("**Works: cold email about leaking APIs, at least 8% of them reply**\n- 14% replies of 90\n"),
        Some(Some(0.14))
    );
}

#[test]
fn a_change_changes_what_it_names_and_nothing_else() {
    let former = design(&input(IDEAS[3]));
    let mut wish = input("make it 80 people, every Monday, 20 mails a day");
    wish.revises = Some(former.clone());
    wish.taken = vec![former.id.clone()];
    let spec = design(&wish);
    assert_eq!(spec.id, former.id);
    assert_eq!((spec.target.size, spec.execution.schedule.as_deref()), (Some(80), Some("0 9 * * MON")));
    assert_eq!(spec.outreach.as_ref().unwrap().daily_limit, Some(20));
    assert_eq!(spec.outreach.unwrap().template, former.outreach.unwrap().template);
    assert!(spec.notes.unwrap().ends_with("make it 80 people, every Monday, 20 mails a day"));
}

#[test]
fn a_models_answer_is_read_as_text_or_object_and_its_faults_are_told() {
    let good = design(&input(IDEAS[0]));
    let yaml = document::yaml(&good).unwrap();
    let of = |value: serde_json::Value| serde_json::from_value::<Designed>(value);
    let fenced = format!("```yaml\n{yaml}```");
    assert_eq!(of(serde_json::json!({ "specification": fenced, "reasoning": "x" })).unwrap().experiment, good);
    assert_eq!(of(serde_json::to_value(Designed { experiment: good.clone() }).unwrap()).unwrap().experiment, good);
    assert!(
        of(serde_json::json!({ "specification": "I would rather not" }))
            .unwrap_err()
            .to_string()
            .contains("no specification")
    );
    let mut bad = good;
    bad.success_criteria = vec!["people like it".to_owned()];
    bad.sources.clear();
    let mut odd = bad.clone();
    odd.sources.insert("hypothesis".to_owned(), "I felt like it".to_owned());
    let faults = DesignExperiment::faults(&input(IDEAS[0]), &Designed { experiment: odd });
    assert!(faults.iter().any(|fault| fault.contains("`I felt like it`")), "{faults:?}");
    let faults = DesignExperiment::faults(&input(IDEAS[0]), &Designed { experiment: bad });
    assert!(
        faults[0].contains("`people like it` is no criterion") && faults.last().unwrap().starts_with("sources"),
        "{faults:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever an idea says, what comes of it could be published, and is never live by its words alone.
    #[test]
    fn every_idea_becomes_an_experiment_that_could_be_published(idea in "(?s).{0,200}", product in "(?s).{0,100}", at in 0_usize..10) {
        for text in [idea.clone(), format!("{} {idea}", IDEAS[at])] {
            let mut input = input(&text);
            input.product.clone_from(&product);
            let ruled = DesignExperiment::rule(&input);
            prop_assert_eq!(DesignExperiment::faults(&input, &ruled.output), Vec::<String>::new());
            prop_assert_ne!(ruled.output.experiment.mode, Mode::Live);
        }
    }
}
