//! What an experiment says to people.

use super::execution::Sending;
use super::reader::{Fields, Reader};
use super::tree::{Kind, Node, Place};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::{FollowUp, Outreach, OutreachChannel, Span, Variant};

impl Reader {
    pub(super) fn outreach(&mut self, found: Option<(&Node, String)>, sending: &mut Sending) -> Option<Outreach> {
        let mut outreach = Outreach {
            channel: OutreachChannel::Email,
            sender: None,
            sender_name: None,
            recipients: None,
            subject: None,
            template: String::new(),
            variants: Vec::new(),
            follow_ups: Vec::new(),
            daily_limit: None,
            delay: None,
        };
        match found {
            None if !sending.sends => return None,
            None => {}
            Some((node, path)) => {
                self.place("outreach", node.at);
                let Some(fields) = Fields::of(node, "outreach") else {
                    self.misfit(node, &path, "fields (`channel`, `subject`, `template`)");
                    return None;
                };
                self.said(fields, &mut outreach);
            }
        }
        // What the step that sends says is for where outreach says nothing.
        let at = sending.at;
        outreach.subject = self.either(outreach.subject, sending.subject.take(), "subject", at);
        outreach.sender = self.either(outreach.sender, sending.sender.take(), "sender", at);
        outreach.sender_name = self.either(outreach.sender_name, sending.sender_name.take(), "sender_name", at);
        outreach.daily_limit = self.either(outreach.daily_limit, sending.daily_limit, "daily_limit", at);
        outreach.delay = self.either(outreach.delay, sending.delay, "delay", at);
        let template = Some(std::mem::take(&mut outreach.template)).filter(|text| !text.is_empty());
        outreach.template = self.either(template, sending.template.take(), "template", at).unwrap_or_default();
        outreach.template = outreach.template.trim_end().to_owned();
        if let Some(other) = subject_within(&mut outreach.template, &mut outreach.subject) {
            self.other("outreach.template", at, &other);
        }
        Some(outreach)
    }

    /// What outreach says; else what the step that sends does. Where both say something, the step's is kept.
    fn either<T: PartialEq + ToString>(
        &mut self,
        own: Option<T>,
        steps: Option<T>,
        name: &str,
        at: Place,
    ) -> Option<T> {
        match (own, steps) {
            (Some(own), Some(other)) if own != other => {
                let why = format!("`outreach` has another `{name}`, which counts; this one is kept in the notes");
                self.keep_value(&format!("execution.{name}"), at, other.to_string().into(), &why);
                Some(own)
            }
            (own, steps) => own.or(steps),
        }
    }

    /// A second subject, in a text.
    fn other(&mut self, path: &str, at: Place, subject: &str) {
        let why = "it begins with another subject than the one that is said; this one is kept in the notes";
        self.keep_value(&format!("{path}: Subject"), at, subject.into(), why);
    }

    fn said(&mut self, mut fields: Fields<'_>, outreach: &mut Outreach) {
        if let Some((node, path)) = fields.take(&["channel"]) {
            self.place("outreach.channel", node.at);
            if let Some(text) = self.text(node, &path) {
                match channel(&text) {
                    Some(channel) => outreach.channel = channel,
                    None => {
                        let message = format!("`{}` is no channel", sanitize_line(&text, 40));
                        let fix = "write `email`, `linkedin`, `twitter` or `cold_call`".to_owned();
                        self.error(&path, node.at, message, Some(fix));
                    }
                }
            }
        } else {
            self.error(
                "outreach.channel",
                fields.at,
                "it is not said through what".to_owned(),
                Some("write `channel: email`".to_owned()),
            );
        }
        outreach.sender = self.said_text(&mut fields, &["sender", "sender_email", "from"], "outreach.sender");
        outreach.sender_name = self.said_text(&mut fields, &["sender_name", "from_name"], "outreach.sender_name");
        outreach.recipients = self.said_text(&mut fields, &["recipients", "to"], "outreach.recipients");
        outreach.subject =
            self.said_text(&mut fields, &["subject", "subject_template", "subject_line"], "outreach.subject");
        outreach.template = self
            .said_text(&mut fields, &["template", "body", "message", "text"], "outreach.template")
            .unwrap_or_default();
        if let Some((node, path)) = fields.take(&["variants"]) {
            self.variants(node, &path, outreach);
        }
        self.follow_ups(&mut fields, outreach);
        if let Some((node, path)) = fields.take(&["daily_limit"]) {
            self.place("outreach.daily_limit", node.at);
            outreach.daily_limit = self.count(node, &path);
        }
        if let Some((node, path)) = fields.take(&["delay", "delay_seconds"]) {
            outreach.delay = self.span(node, &path, "s");
        }
        for (key, node) in fields.rest() {
            self.keep(&fields.path_of(&key.name), key.at, node);
        }
    }

    fn said_text(&mut self, fields: &mut Fields<'_>, names: &[&str], path: &str) -> Option<String> {
        let (node, written) = fields.take(names)?;
        self.place(path, node.at);
        self.text(node, &written).map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty())
    }

    fn variants(&mut self, node: &Node, path: &str, outreach: &mut Outreach) {
        self.place("outreach.variants", node.at);
        let Kind::List(items) = &node.kind else {
            self.misfit(node, path, "a list of variants, each with a `name`");
            return;
        };
        for (index, item) in items.iter().enumerate() {
            let path = format!("outreach.variants[{index}]");
            self.place(&path, item.at);
            let Some(mut fields) = Fields::of(item, &path) else {
                self.misfit(item, &path, "fields with a `name`");
                continue;
            };
            let mut text = |names: &[&str], name: &str| self.said_text(&mut fields, names, &format!("{path}.{name}"));
            let name = text(&["name", "id"], "name").unwrap_or_else(|| format!("variant_{}", index + 1));
            let angle = text(&["angle", "hook"], "angle");
            let mut subject = text(&["subject", "subject_template"], "subject");
            let mut template = text(&["template", "body", "message"], "template");
            if let Some(other) = template.as_mut().and_then(|template| subject_within(template, &mut subject)) {
                self.other(&format!("{path}.template"), item.at, &other);
            }
            for (key, node) in fields.rest() {
                self.keep(&format!("{path}.{}", key.name), key.at, node);
            }
            outreach.variants.push(Variant { name, angle, subject, template });
        }
    }

    /// A list of them, one as fields, or as fields of outreach itself.
    fn follow_ups(&mut self, fields: &mut Fields<'_>, outreach: &mut Outreach) {
        if let Some((node, path)) = fields.take(&["follow_ups", "follow_up", "followups"]) {
            let items: Vec<&Node> = match &node.kind {
                Kind::List(items) => items.iter().collect(),
                _ => vec![node],
            };
            for (index, item) in items.into_iter().enumerate() {
                let place = format!("outreach.follow_ups[{index}]");
                self.place(&place, item.at);
                let Some(mut inner) = Fields::of(item, &place) else {
                    self.misfit(item, &path, "fields (`after`, `template`)");
                    continue;
                };
                let on = inner.take(&["enabled"]).is_none_or(|(node, _)| node.kind != Kind::Flag(false));
                let after = inner.take(&["after", "delay", "delay_days", "days", "day"]);
                let after = after.and_then(|(node, path)| self.span(node, &path, "d"));
                let subject = self.said_text(&mut inner, &["subject", "subject_template"], &format!("{place}.subject"));
                let template =
                    self.said_text(&mut inner, &["template", "body", "message"], &format!("{place}.template"));
                self.keep_rest(&inner);
                if on {
                    outreach.follow_ups.push(FollowUp {
                        after: after.unwrap_or(Span(std::time::Duration::ZERO)),
                        subject,
                        template: template.unwrap_or_default(),
                    });
                } else {
                    self.keep_for(&path, item.at, item, "it is not enabled; it is kept in the notes");
                }
            }
        }
        if !fields.has("follow_up_template") {
            return;
        }
        let delay = fields.take(&["follow_up_delay_days", "follow_up_delay"]);
        let after = delay.and_then(|(node, path)| self.span(node, &path, "d"));
        let place = format!("outreach.follow_ups[{}]", outreach.follow_ups.len());
        if let Some(template) = self.said_text(fields, &["follow_up_template"], &format!("{place}.template")) {
            let subject = self.said_text(fields, &["follow_up_subject"], &format!("{place}.subject"));
            let after = after.unwrap_or(Span(std::time::Duration::ZERO));
            outreach.follow_ups.push(FollowUp { after, subject, template });
        }
    }
}

fn channel(text: &str) -> Option<OutreachChannel> {
    Some(match text.trim().to_lowercase().replace([' ', '-'], "_").as_str() {
        "email" | "e_mail" | "mail" | "cold_email" => OutreachChannel::Email,
        "linkedin" | "linkedin_dm" => OutreachChannel::Linkedin,
        "twitter" | "x" | "twitter_dm" => OutreachChannel::Twitter,
        "cold_call" | "call" | "phone" => OutreachChannel::ColdCall,
        _ => return None,
    })
}

/// Takes a subject that stands as the first line of a text out of it; gives it back where there is another one.
fn subject_within(template: &mut String, subject: &mut Option<String>) -> Option<String> {
    let rest = template.trim_start().strip_prefix("Subject:")?;
    let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    let line = line.trim().to_owned();
    *template = rest.trim_start_matches(['\n', '\r']).to_owned();
    if line.is_empty() {
        return None;
    }
    match subject {
        Some(known) => (*known != line).then_some(line),
        None => {
            *subject = Some(line);
            None
        }
    }
}
