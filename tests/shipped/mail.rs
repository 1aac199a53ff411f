//! `email_send` over SMTP.

use serde_json::{Value, json};

use crate::program::Tool;
use crate::smtp_server::SmtpServer;

fn params(url: &str, recipients: Value) -> Value {
    json!({
        "recipients": recipients, "subject": "A question, {{first_name}}", "template": "Hi {{first_name}},\n\nhow is {{company|work}}?\n\nAda",
        "sender": "ada@acme.example", "sender_name": "Ada of Acme", "postal_address": "Acme, 1 Main Street, 10115 Berlin",
        "unsubscribe": "https://acme.example/u", "smtp": url, "domain_gap": "0s",
    })
}

fn person(name: &str) -> Value {
    json!({ "email": format!("{}@one.example", name.to_lowercase()), "first_name": name })
}

/// A header of a mail as it came, unfolded.
fn header(mail: &Value, name: &str) -> Option<String> {
    let text = mail["text"].as_str().unwrap();
    let head = text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let start = format!("{name}: ");
    head.lines().find_map(|line| line.strip_prefix(start.as_str()).map(str::to_owned))
}

#[tokio::test]
async fn mail_goes_out_and_each_is_asked_for_before() {
    let server = SmtpServer::start();
    let mut params = params(
        &server.url(),
        json!([person("Grace"), person("Linus"), { "email": "x@two.example", "first_name": "Jürgen", "company": "Werk", "timezone": "Europe/Berlin" }]),
    );
    params["variants"] = json!([{ "name": "plain" }, { "name": "bold", "subject": "Bold, {{first_name}}" }]);
    let said = Tool::live("email_send", params)
        .answering(|action| if action["target"] == json!("linus@one.example") { "skip" } else { "go" })
        .go()
        .await;
    let result = said.result();
    assert_eq!((&result["sent"], &result["skipped"], &result["failed"]), (&json!(2), &json!(1), &json!(0)), "{result}");
    assert_eq!(said.actions()[0]["key"], json!("email:exp_20260301_forum:grace@one.example:first"));
    assert_eq!(
        (&said.actions()[2]["kind"], &said.actions()[2]["timezone"]),
        (&json!("email"), &json!("Europe/Berlin"))
    );
    assert_eq!(said.events("email_sent"), 2);
    assert!(
        said.metrics()
            .iter()
            .all(|event| event["variant"].is_string() && event["person"].as_str().unwrap().len() == 64)
    );
    assert!(!said.metrics().iter().any(|event| event.to_string().contains('@')), "no address is in an event");
    let mails = [server.mail(), server.mail()];
    assert!(server.further().is_empty());
    let grace = &mails[0];
    assert_eq!((&grace["from"], &grace["to"]), (&json!("ada@acme.example"), &json!(["grace@one.example"])));
    assert_eq!(header(grace, "From").unwrap(), "\"Ada of Acme\" <ada@acme.example>");
    assert_eq!(header(grace, "List-Unsubscribe-Post").unwrap(), "List-Unsubscribe=One-Click");
    assert!(header(grace, "List-Unsubscribe").unwrap().starts_with("<https://acme.example/u?recipient="));
    assert_eq!(header(grace, "X-Fullsend-Experiment").unwrap(), "exp_20260301_forum");
    let id = header(grace, "Message-ID").unwrap();
    assert!(id.starts_with("<fs1.exp_20260301_forum.first.") && id.ends_with("@acme.example>"), "{id}");
    assert_eq!(json!(id.trim_matches(['<', '>'])), said.done()[0]["receipt"]);
    let text = grace["text"].as_str().unwrap();
    assert!(
        text.contains("how is work?") && text.contains("1 Main Street") && text.contains("To get no more mail"),
        "{text}"
    );
}

#[tokio::test]
async fn the_same_mail_has_the_same_id_and_nobody_gets_two() {
    let server = SmtpServer::start();
    let twice = json!([person("Grace"), { "email": "GRACE@one.example", "first_name": "Grace" }]);
    let first = Tool::live("email_send", params(&server.url(), twice.clone())).go().await;
    assert_eq!((&first.result()["sent"], &first.result()["duplicates"]), (&json!(1), &json!(1)));
    let again = Tool::live("email_send", params(&server.url(), twice)).go().await;
    assert_eq!(first.done()[0]["receipt"], again.done()[0]["receipt"]);
    assert_eq!(first.metrics()[0]["id"], again.metrics()[0]["id"]);
}

#[tokio::test]
async fn a_follow_up_belongs_to_its_first_mail() {
    let server = SmtpServer::start();
    let first = Tool::live("email_send", params(&server.url(), json!([person("Grace")]))).go().await;
    let first_id = first.done()[0]["receipt"].as_str().unwrap().to_owned();
    server.mail();
    let mut grace = person("Grace");
    grace["message_id"] = json!(first_id);
    grace["first_subject"] = json!("A question, Grace");
    let mut params = params(&server.url(), json!([grace]));
    params["follow_up"] = json!(0);
    params.as_object_mut().unwrap().remove("subject");
    let said = Tool::live("email_send", params).go().await;
    assert_eq!(said.actions()[0]["key"], json!("email:exp_20260301_forum:grace@one.example:followup-1"));
    let mail = server.mail();
    assert_eq!(header(&mail, "Subject").unwrap(), "Re: A question, Grace");
    assert_eq!(header(&mail, "In-Reply-To").unwrap(), format!("<{first_id}>"));
    assert_eq!(header(&mail, "References"), header(&mail, "In-Reply-To"));
}

/// What an experiment's own follow-up becomes, for whoever had the other way of saying it.
#[tokio::test]
async fn a_follow_up_goes_on_under_the_subject_that_its_reader_had() {
    let server = SmtpServer::start();
    let spec = json!({
        "id": "exp_20260301_forum", "hypothesis": "h", "target": { "description": "people" },
        "execution": { "steps": [{ "id": "list", "tool": "csv_leads", "params": { "path": "a.csv" } }] },
        "metrics": [], "success_criteria": [], "failure_criteria": [],
        "outreach": {
            "channel": "email", "sender": "mara@acme.example", "subject": "Common subject", "template": "Hi",
            "variants": [{ "name": "a" }, { "name": "b", "subject": "Other subject" }],
            "follow_ups": [{ "after": "2d", "template": "Once more, {{first_name}}" }],
        },
    });
    let spec = serde_json::from_value(spec).unwrap();
    let planned = fullsend::experiments::steps::follow_up(&spec, 0).unwrap();
    let mut grace = person("Grace");
    grace["variant"] = json!("b");
    grace["first_subject"] = json!("Other subject");
    let mut params = params(&server.url(), json!([grace]));
    let own = params.as_object_mut().unwrap();
    own.remove("subject");
    own.extend(planned.step.params);
    let said = Tool::live("email_send", params).go().await;
    let mail = server.mail();
    assert_eq!(header(&mail, "Subject").unwrap(), "Re: Other subject");
    assert_eq!(said.metrics()[0]["variant"], "b");
}

#[tokio::test]
async fn a_sample_goes_to_one_address_alone_and_concerns_nobody_else() {
    let server = SmtpServer::start();
    let mut params =
        params(&server.url(), json!([{ "email": "nameless@one.example" }, person("Grace"), person("Linus")]));
    params["sample_to"] = json!("mara@ours.example");
    let said = Tool::live("email_send", params).go().await;
    assert_eq!(said.result()["sent"], json!(1), "{}", said.result());
    assert_eq!(said.actions().len(), 1);
    let action = said.actions()[0];
    assert_eq!(action["target"], json!("mara@ours.example"));
    assert!(!action["key"].as_str().unwrap().contains("exp_20260301_forum"), "{action}");
    assert_eq!(said.metrics(), Vec::<&Value>::new(), "nothing is counted");
    let mail = server.mail();
    assert!(server.further().is_empty());
    assert_eq!(
        (&mail["to"], header(&mail, "To").unwrap().as_str()),
        (&json!(["mara@ours.example"]), "mara@ours.example")
    );
    assert_eq!(header(&mail, "Subject").unwrap(), "[Sample for grace@one.example] A question, Grace");
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("Hi Grace,") && text.contains("1 Main Street"), "{text}");
    // Whoever unsubscribes by it, or answers, is the one who got it, and of no experiment.
    let hash = |address: &str| fullsend::contracts::keys::person(address);
    assert!(text.contains(&hash("mara@ours.example")) && !text.contains(&hash("grace@one.example")), "{text}");
    assert!(!header(&mail, "Message-ID").unwrap().contains("exp_20260301_forum"), "{text}");
    assert_eq!(header(&mail, "X-Fullsend-Experiment").unwrap(), "none");
}

#[tokio::test]
async fn a_dry_run_connects_to_nobody_and_shows_what_would_go_out() {
    let server = SmtpServer::start();
    let said = Tool::dry("email_send", params(&server.url(), json!([person("Grace"), person("Linus")]))).go().await;
    assert_eq!((&said.result()["sent"], &said.result()["would_send"]), (&json!(0), &json!(2)));
    assert!(server.further().is_empty());
    assert_eq!(said.events("email_sent"), 0, "nothing was sent, so nothing is counted");
    let files = said.outbox();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| file.extension().unwrap() == "eml"));
    assert!(said.result()["previews"][0]["text"].as_str().unwrap().contains("Hi Grace,"));
}

#[tokio::test]
async fn without_a_postal_address_or_a_way_to_unsubscribe_nothing_is_sent() {
    let server = SmtpServer::start();
    for (missing, setting) in [
        ("postal_address", "outreach.postal_address"),
        ("unsubscribe", "outreach.unsubscribe"),
        ("sender", "outreach.sender"),
    ] {
        let mut params = params(&server.url(), json!([person("Grace")]));
        params.as_object_mut().unwrap().remove(missing);
        let said = Tool::live("email_send", params.clone()).go().await;
        assert_eq!(said.error().0, "invalid_params");
        assert!(said.error().1.contains(setting), "{:?}", said.error());
        assert!(said.actions().is_empty());
        // A dry run says it.
        let said = Tool::dry("email_send", params).go().await;
        assert!(
            said.logs().iter().any(|log| log.contains("a live run would be refused") && log.contains(setting)),
            "{:?}",
            said.logs()
        );
    }
    assert!(server.further().is_empty());
}

#[tokio::test]
async fn no_field_of_a_person_becomes_a_header() {
    let server = SmtpServer::start();
    let evil = "Eve\r\nBcc: all@victims.example\r\n\r\nBuy!";
    let people = json!([
        { "email": "eve@one.example", "first_name": evil },
        { "email": "mallory@one.example\r\nRCPT TO:<x@victims.example>", "first_name": "Mallory" },
        { "email": "trent@one.example", "first_name": "\u{202e}Trent\u{2028}X: y" },
    ]);
    let mut params = params(&server.url(), people);
    params["sender_name"] = json!("Ada\r\nX-Evil: yes");
    let said = Tool::live("email_send", params).go().await;
    assert_eq!((&said.result()["sent"], &said.result()["failed"]), (&json!(2), &json!(1)), "{}", said.result());
    for mail in [server.mail(), server.mail()] {
        assert_eq!(mail["to"].as_array().unwrap().len(), 1);
        for name in ["Bcc", "X-Evil", "X"] {
            assert_eq!(header(&mail, name), None, "{}", mail["text"]);
        }
    }
}

#[tokio::test]
async fn who_lacks_a_field_gets_no_mail_and_is_named() {
    let server = SmtpServer::start();
    let said =
        Tool::live("email_send", params(&server.url(), json!([{ "email": "x@one.example" }, person("Grace"), {}])))
            .go()
            .await;
    assert_eq!((&said.result()["sent"], &said.result()["failed"]), (&json!(1), &json!(2)));
    let why = said.result()["failures"][0]["reason"].as_str().unwrap();
    assert!(why.contains("{{first_name}}"), "{why}");
    let said = Tool::live("email_send", params(&server.url(), json!([{ "email": "x@one.example" }]))).go().await;
    assert_eq!(said.error().0, "invalid_params");
}

#[tokio::test]
async fn an_unknown_address_is_a_bounce_and_the_others_go_out() {
    let server = SmtpServer::start();
    let people = json!([person("Gone"), person("Later"), person("Policy"), person("Grace")]);
    let said = Tool::live("email_send", params(&server.url(), people)).go().await;
    let result = said.result();
    let counts = ["sent", "bounced", "failed", "deferred"].map(|name| result[name].clone());
    assert_eq!(counts, [json!(1), json!(1), json!(1), json!(1)], "{result}");
    assert_eq!((said.events("email_sent"), said.events("email_bounced")), (2, 1));
    let outcomes: Vec<_> = said.done().iter().map(|done| done["outcome"].clone()).collect();
    assert_eq!(outcomes, [json!("failed"), json!("later"), json!("failed"), json!("done")]);
    assert!(said.done()[0]["error"].as_str().unwrap().contains("nobody of that name"));
    assert_eq!(server.mail()["to"], json!(["grace@one.example"]));
}

#[tokio::test]
async fn a_server_that_refuses_everybody_ends_the_run_before_every_address_is_spoiled() {
    let server = SmtpServer::start();
    let people: Vec<_> = (0..40).map(|n| person(&format!("Gone{n}"))).collect();
    let said = Tool::live("email_send", params(&server.url(), json!(people))).go().await;
    assert_eq!(said.error().0, "tool");
    assert!(said.error().1.contains("10 mails in a row were refused"), "{:?}", said.error());
    assert_eq!(said.actions().len(), 10);
}

#[tokio::test]
async fn a_quota_spoils_no_address_and_ends_the_run_though_mail_went_out_before() {
    let server = SmtpServer::start();
    let list = |name: &str| (0..40).map(|n| person(&format!("{name}{n}"))).collect::<Vec<_>>();
    let people = [vec![person("Grace")], list("Policy")].concat();
    let said = Tool::live("email_send", params(&server.url(), json!(people))).go().await;
    assert!(said.error().1.contains("10 mails in a row were refused"), "{:?}", said.error());
    assert_eq!((said.actions().len(), said.events("email_bounced")), (11, 0));
    // What is over tomorrow is tried again.
    let people = [vec![person("Grace")], list("Quota")].concat();
    let said = Tool::live("email_send", params(&server.url(), json!(people))).go().await;
    assert_eq!((&said.result()["sent"], &said.result()["deferred"]), (&json!(1), &json!(40)), "{}", said.result());
    assert_eq!(said.events("email_bounced"), 0);
    // A few that do not exist among those that do are no reason to end.
    let mixed: Vec<_> = (0..12).map(|n| person(&format!("Gone{n}"))).collect();
    let people = [vec![person("Grace")], mixed, vec![person("Linus")]].concat();
    let said = Tool::live("email_send", params(&server.url(), json!(people))).go().await;
    assert_eq!((&said.result()["sent"], &said.result()["bounced"]), (&json!(2), &json!(12)), "{}", said.result());
}

#[tokio::test]
async fn what_was_handed_over_without_an_answer_is_not_called_sent() {
    let server = SmtpServer::start();
    let mut params = params(&server.url(), json!([person("Grace"), person("Linus")]));
    params["subject"] = json!("drop it");
    let said = Tool::live("email_send", params.clone()).go().await;
    assert_eq!((&said.result()["sent"], &said.result()["unknown"]), (&json!(0), &json!(2)), "{}", said.result());
    assert!(said.done().iter().all(|done| done["outcome"] == json!("unknown")), "{:?}", said.done());
    // A server that takes it in and says nothing more.
    params["subject"] = json!("silent");
    params["recipients"] = json!([person("Grace")]);
    params["patience"] = json!("200ms");
    let said = Tool::live("email_send", params).go().await;
    assert_eq!(said.done()[0]["outcome"], json!("unknown"), "{:?}", said.done());
    assert_eq!((said.events("email_sent"), &said.result()["unknown"]), (0, &json!(1)));
}

#[tokio::test]
async fn content_that_is_refused_is_a_failure_and_no_bounce() {
    let server = SmtpServer::start();
    let mut params = params(&server.url(), json!([person("Grace")]));
    params["subject"] = json!("refuse this");
    let said = Tool::live("email_send", params).go().await;
    assert_eq!((&said.result()["bounced"], &said.result()["failed"]), (&json!(0), &json!(1)), "{}", said.result());
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_mail_is_tried_once_more_and_then_ends_the_run() {
    let server = SmtpServer::start();
    let said = Tool::live("email_send", params(&server.url(), json!([person("Bye"), person("Grace")]))).go().await;
    assert_eq!(said.error().0, "transient");
    assert_eq!(said.done().len(), 1);
    assert!(said.done()[0]["error"].as_str().unwrap().starts_with("not sent: "), "{:?}", said.done());
    assert_eq!(said.result()["left"], json!(1));
}

#[tokio::test]
async fn a_server_that_hangs_and_one_that_is_not_there_are_told() {
    let server = SmtpServer::start();
    let mut hanging = params(&server.url(), json!([person("Hang")]));
    hanging["patience"] = json!("300ms");
    let said = Tool::live("email_send", hanging).go().await;
    assert_eq!(said.error(), ("transient", "the mail server does not answer any more"));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = Tool::live("email_send", params(&format!("smtp://{gone}"), json!([person("Grace")]))).go().await;
    assert_eq!(said.error().0, "transient");
    assert!(said.error().1.contains("cannot be reached"), "{:?}", said.error());
    assert!(said.actions().is_empty(), "nobody is asked for what cannot be done");
}

#[tokio::test]
async fn being_told_to_stop_ends_it_with_what_there_is() {
    let server = SmtpServer::start();
    let mut asked = 0;
    let people = json!([person("Ada"), person("Grace"), person("Linus")]);
    let said = Tool::live("email_send", params(&server.url(), people))
        .answering(move |_| {
            asked += 1;
            if asked == 1 { "go" } else { "stop" }
        })
        .go()
        .await;
    let result = said.result();
    assert_eq!(
        (&result["sent"], &result["left"], &result["ended"]),
        (&json!(1), &json!(2), &json!("it was told to stop"))
    );
}

#[tokio::test]
async fn encryption_is_demanded_and_the_server_must_be_who_it_says() {
    let options = |tls: &str| json!({ "tls": tls, "user": "ada@acme.example", "password": "canary-pass" });
    for (tls, scheme, query) in [("smtps", "smtps", ""), ("starttls", "smtp", "?tls=required")] {
        let server = SmtpServer::with(options(tls));
        let url = format!("{scheme}://ada%40acme.example@localhost:{}{query}", server.port());
        let mut good = params(&url, json!([person("Grace")]));
        good["ca_file"] = json!(server.ca_file());
        let said = Tool::live("email_send", good.clone()).secret("SMTP_PASSWORD", "canary-pass").go().await;
        assert_eq!(said.result()["sent"], json!(1), "{tls}: {}", said.result());
        let mail = server.mail();
        assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("ada@acme.example")));
        // A wrong password, and none.
        let said = Tool::live("email_send", good.clone()).secret("SMTP_PASSWORD", "wrong").go().await;
        assert_eq!(said.error().0, "unauthorized", "{:?}", said.error());
        assert!(!said.lines.iter().any(|line| line.to_string().contains("wrong")), "a password is never said");
        let said = Tool::live("email_send", good.clone()).go().await;
        assert!(said.error().1.contains("SMTP_PASSWORD"), "{:?}", said.error());
        // Nobody vouches for it.
        good.as_object_mut().unwrap().remove("ca_file");
        let said = Tool::live("email_send", good).secret("SMTP_PASSWORD", "canary-pass").go().await;
        assert_eq!(said.error().0, "invalid_params");
        assert!(server.further().is_empty());
    }
}

#[tokio::test]
async fn no_password_goes_to_a_server_without_encryption() {
    let server = SmtpServer::start();
    let url = format!("smtp://ada@127.0.0.1:{}?tls=required", server.port());
    let said = Tool::live("email_send", params(&url, json!([person("Grace")]))).secret("SMTP_PASSWORD", "x").go().await;
    assert!(said.error().1.contains("offers no encryption"), "{:?}", said.error());
    for (url, why) in [
        ("smtp://ada:hunter2@mail.example", "a password stands in it"),
        ("https://mail.example", "write smtp://HOST:PORT"),
        ("mail.example", "write smtp://HOST:PORT"),
        ("smtp://mail.example?tls=maybe", "`tls` is"),
    ] {
        let said = Tool::live("email_send", params(url, json!([person("Grace")]))).go().await;
        assert!(said.error().1.contains(why), "{url}: {:?}", said.error());
        assert!(!said.error().1.contains("hunter2"));
    }
}
