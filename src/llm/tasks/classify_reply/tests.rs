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
    assert_eq!((Negative.event(), Question.event(), OutOfOffice.event()), (None, None, None));
    assert!(!OutOfOffice.is_persons() && Unsubscribe.is_persons());
}
