use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::ReplyKind::{Bounce, Negative, Other, OutOfOffice, Positive, Question, Unsubscribe};
use super::*;

fn input(text: &str) -> ReplyInput {
    ReplyInput { subject: Some("Re: A question".into()), text: text.into() }
}

/// Answers that were invented for this test, as people write them.
const REPLIES: [(&str, ReplyKind); 65] = [
    ("Sounds good, how about Tuesday at 3?", Positive),
    ("Sure, call me tomorrow.", Positive),
    ("We were just talking about this. Can you send over a deck?", Positive),
    ("I'd love to see a demo. What does it cost?", Positive),
    ("yes please", Positive),
    ("This looks interesting. Are you free on Thursday?", Positive),
    ("Happy to chat, here is my calendar link.", Positive),
    ("Tell me more", Positive),
    ("I'm in. Sign me up for the beta.", Positive),
    ("Klingt spannend, lassen Sie uns nächste Woche telefonieren.", Positive),
    ("Gerne! Passt Ihnen Mittwoch?", Positive),
    ("Me interesa, hablemos la semana que viene.", Positive),
    ("Avec plaisir, quand êtes-vous disponible ?", Positive),
    ("Ok let's set up a call for next week, cc'd nobody yet", Positive),
    ("intrested, pls send more info", Positive),
    ("Mi interessa molto, sentiamoci lunedì.", Positive),
    ("Not interested.", Negative),
    ("Thanks, but no thanks.", Negative),
    ("Interesting idea, but we already use a tool for that.", Negative),
    ("We don't have the budget. No budget until next year, sorry.", Negative),
    ("Not a fit for us right now, good luck!", Negative),
    ("I'll pass", Negative),
    ("No", Negative),
    ("We built our own thing last year and are happy with it", Negative),
    ("Not now, maybe next quarter.", Negative),
    ("Kein Interesse, danke.", Negative),
    ("Danke, aber wir haben bereits einen Anbieter.", Negative),
    ("No nos interesa, gracias.", Negative),
    ("Merci mais nous n'avons pas besoin de cela.", Negative),
    ("Nao obrigado", Negative),
    ("This would be a waste of time for a team of our size.", Negative),
    ("How much does it cost?", Question),
    ("Where did you get my address?", Question),
    ("Does it work with Postgres", Question),
    ("Is it GDPR compliant?", Question),
    ("What exactly do you do?", Question),
    ("Wie unterscheidet sich das von Ihrem Mitbewerber?", Question),
    ("Combien ça coûte ?", Question),
    ("Who are you", Question),
    ("Can you run on premises?", Question),
    ("Unsubscribe", Unsubscribe),
    ("Please remove me from your list.", Unsubscribe),
    ("STOP", Unsubscribe),
    ("Stop emailing me. I am not interested.", Unsubscribe),
    ("Interesting, but take me off your list please", Unsubscribe),
    ("Do not contact me again or I will report you.", Unsubscribe),
    ("This is spam.", Unsubscribe),
    ("Under GDPR I ask you to erase what you have about me.", Unsubscribe),
    ("Bitte abmelden", Unsubscribe),
    ("Löschen Sie meine Daten!", Unsubscribe),
    ("Quiero darme de baja", Unsubscribe),
    ("Merci de me désinscrire", Unsubscribe),
    ("I'm out of the office until 3 March with limited access to email.", OutOfOffice),
    (
        "Thank you for your message. I am on parental leave and will be back in June. In urgent cases write to my colleague.",
        OutOfOffice,
    ),
    ("Ich bin derzeit im Urlaub und ab 5. März wieder erreichbar.", OutOfOffice),
    ("Estoy de vacaciones hasta el lunes.", OutOfOffice),
    ("Je suis en congés jusqu'au 12.", OutOfOffice),
    ("Your message could not be delivered: user unknown.", Bounce),
    ("Delivery has failed to these recipients. The mailbox is full.", Bounce),
    ("Grace is no longer with Engines. This mailbox is not monitored.", Bounce),
    ("I'm not the right person, speak to Bob who handles this.", Other),
    ("Looping in my colleague Linus.", Other),
    ("Thanks for the note.", Other),
    ("Lovely weather here in Lisbon", Other),
    ("👍", Other),
];

#[test]
fn the_rules_read_answers_as_a_person_does() {
    let wrong: Vec<_> = REPLIES
        .iter()
        .map(|(text, kind)| (text, kind, ClassifyReply::rule(&input(text)).output))
        .filter(|(_, kind, found)| **kind != found.kind)
        .map(|(text, kind, found)| format!("{text}: {kind:?}, not {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nobody_who_wants_out_is_overheard_by_a_model() {
    for (text, kind) in REPLIES {
        let said = ReplyClass { kind: Positive, reason: "r".to_owned() };
        assert_eq!(ClassifyReply::faults(&input(text), &said).is_empty(), kind != Unsubscribe, "{text}");
    }
}

#[test]
fn reading_is_total() {
    for (value, kind) in [
        (json!({ "kind": "out_of_office", "reason": "away" }), OutOfOffice),
        (json!({ "kind": "ecstatic" }), Other),
        (json!({ "kind": ["positive"], "reason": 7 }), Other),
        (json!({}), Other),
    ] {
        let read: ReplyClass = serde_json::from_value(value).unwrap();
        assert_eq!(read.kind, kind);
        assert!(!read.reason.is_empty());
    }
    let long: Result<ReplyClass, _> = serde_json::from_value(json!({ "kind": "positive", "reason": "x".repeat(900) }));
    assert_eq!(long.unwrap().reason.len(), REASON_LIMIT);
    assert_eq!(serde_json::to_value(Bounce).unwrap(), Value::from(Bounce.as_str()));
}

#[test]
fn a_reply_is_counted_as_what_it_is() {
    assert_eq!(Positive.event(), Some("positive_reply"));
    assert_eq!(Negative.event(), Some("negative_reply"));
    assert_eq!((Question.event(), OutOfOffice.event(), Other.event()), (None, None, None));
    assert!(!OutOfOffice.is_persons() && Unsubscribe.is_persons());
}

/// Replies of a file that people labelled, and what the rules make of each otherwise.
fn judged(file: &str) -> (usize, Vec<String>) {
    #[derive(Deserialize)]
    struct Labelled {
        kind: ReplyKind,
        #[serde(default)]
        also: Vec<ReplyKind>,
        subject: Option<String>,
        text: String,
    }
    #[derive(Deserialize)]
    struct All {
        replies: Vec<Labelled>,
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replies").join(file);
    let all: All = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let wrong = all.replies.iter().filter_map(|reply| {
        let subject = reply.subject.as_deref().unwrap_or("Re: A question");
        let input = ReplyInput { subject: Some(subject.into()), text: reply.text.as_str().into() };
        let found = ClassifyReply::rule(&input).output;
        let fits = found.kind == reply.kind || reply.also.contains(&found.kind);
        (!fits).then(|| format!("{:?}, not {:?}: {:?} ({})", reply.kind, found.kind, reply.text, found.reason))
    });
    (all.replies.len(), wrong.collect())
}

/// What lawyers and programs put below is nobody's wish.
#[test]
fn what_stands_below_a_reply_is_not_said() {
    let notice = "If you are not the intended recipient, please notify the sender and delete it. Do not send it on.";
    for (text, kind) in
        [("Sounds good, let's talk.", Positive), ("Not for us.", Negative), ("Please remove me.", Unsubscribe)]
    {
        for below in [
            format!("\r\n\r\n{notice}"),
            "\n--\nStop Ltd, Unsubscribe Street".to_owned(),
            "\n\nSent from my iPhone".to_owned(),
        ] {
            let said = ClassifyReply::rule(&input(&format!("{text}{below}"))).output;
            assert_eq!(said.kind, kind, "{text}{below}: {said:?}");
        }
    }
}

#[test]
fn replies_of_all_kinds_are_read_as_people_read_them() {
    let (_, wrong) = judged("seen.toml");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Those that no rule was made after.
#[test]
fn replies_that_no_rule_knows_are_read_well() {
    let (count, wrong) = judged("heldout.toml");
    let overheard = wrong.iter().filter(|it| it.starts_with("Unsubscribe")).count();
    let praised = wrong.iter().filter(|it| it.contains("not Positive")).count();
    let right = count - wrong.len();
    assert!(
        right * 100 >= count * 95 && overheard == 0 && praised <= 1,
        "{right} of {count}, {overheard} overheard, {praised} praised"
    );
}
