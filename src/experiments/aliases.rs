//! What the shipped tools are called elsewhere, and what the people that they find have.
//!
//! Owns the names under which others know them, so that a specification for another system can be put right. What a tool takes and
//! gives in full is its manifest's.

/// A shipped tool as specifications know it.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Names of tools of others that it stands in for.
    pub aliases: &'static [&'static str],
    /// Parameters that are called otherwise there, and how here.
    pub renamed: &'static [(&'static str, &'static str)],
    /// What it takes; empty where that is not known here.
    pub params: &'static [&'static str],
    /// The fields of each of the `rows` that it gives; empty where that depends.
    pub columns: &'static [&'static str],
    /// Whether it gives people.
    pub finds_people: bool,
}

/// The tools that are shipped.
pub const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "csv_leads",
        aliases: &["csv_reader", "csv_loader", "read_csv", "lead_list", "load_leads"],
        renamed: &[("file", "path"), ("csv_path", "path"), ("filename", "path"), ("max_results", "limit")],
        params: &["path", "columns", "filters", "dedupe_by", "require_email", "fields", "limit", "skip", "delimiter"],
        columns: &[],
        finds_people: true,
    },
    Shipped {
        name: "github_stargazers",
        aliases: &[
            "github_stargazer_scraper",
            "github_stargazers_scraper",
            "github_stargazer_finder",
            "github_cto_enricher",
            "github_scraper",
        ],
        renamed: &[
            ("repo", "repos"),
            ("max_results", "limit"),
            ("days_ago", "starred_within_days"),
            ("timeframe_days", "starred_within_days"),
            ("since_days", "starred_within_days"),
        ],
        params: &["repos", "limit", "starred_within_days", "details", "filters", "look_at", "base_url"],
        columns: &[
            "email",
            "login",
            "name",
            "first_name",
            "last_name",
            "company",
            "title",
            "location",
            "blog",
            "twitter",
            "followers",
            "profile",
            "repo_name",
            "starred_at",
            "days_ago",
        ],
        finds_people: true,
    },
    Shipped {
        name: "hn_who_is_hiring",
        aliases: &["hn_hiring", "hackernews_hiring", "hn_jobs_scraper", "job_posting_finder", "browserbase_job_finder"],
        renamed: &[("max_results", "limit"), ("topics", "keywords"), ("query", "keywords")],
        params: &["kind", "month", "keywords", "exclude", "filters", "limit", "base_url"],
        columns: &["email", "company", "role", "location", "remote", "text", "author", "link", "posted_at"],
        finds_people: true,
    },
    Shipped {
        name: "web_page",
        aliases: &["browserbase_research", "web_scraper", "page_scraper", "fetch_page", "browserbase_email_finder"],
        renamed: &[("url", "urls"), ("link", "urls"), ("page", "urls")],
        params: &["urls", "text_limit", "pause"],
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "email_send",
        aliases: &[
            "cold_email_sender",
            "email_sender",
            "send_email",
            "send_emails",
            "mail_sender",
            "bulk_email_sender",
            "resend_email_sender",
        ],
        renamed: &[("sender_email", "sender"), ("from", "sender"), ("body", "template"), ("to", "recipients")],
        params: &[
            "recipients",
            "subject",
            "template",
            "variants",
            "sender",
            "sender_name",
            "reply_to",
            "postal_address",
            "unsubscribe",
            "smtp",
            "ca_file",
            "base_url",
            "follow_up",
            "daily_limit",
            "delay",
            "domain_gap",
            "patience",
        ],
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "email_replies",
        aliases: &["reply_monitor", "inbox_monitor", "email_reply_tracker"],
        renamed: &[],
        params: &["mailbox", "webhooks", "experiment_id", "sent", "since", "state", "limit"],
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "webhook_post",
        aliases: &["webhook", "http_post", "post_webhook"],
        renamed: &[("endpoint", "url")],
        params: &["url", "body", "items", "headers", "key", "pause"],
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "simulated_audience",
        aliases: &["audience_simulator", "fake_audience", "market_simulator"],
        renamed: &[("count", "size"), ("limit", "size")],
        params: &["size", "seed", "part", "recipients", "segments", "variants", "rates", "seconds_per_day"],
        columns: &["email", "first_name", "last_name", "name", "company", "title", "segment"],
        finds_people: true,
    },
];

/// The shipped tool with this name.
pub fn shipped(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|tool| tool.name == name)
}

/// The shipped tool that does what a tool with this name does elsewhere; none for one that is shipped itself.
pub fn stands_in_for(name: &str) -> Option<&'static Shipped> {
    let folded = name.trim().to_lowercase().replace([' ', '-'], "_");
    if shipped(&folded).is_some_and(|tool| tool.name == name) {
        return None;
    }
    SHIPPED.iter().find(|tool| tool.name == folded || tool.aliases.contains(&folded.as_str()))
}

/// Whether this tool sends mail, under any of its names.
pub fn sends_mail(name: &str) -> bool {
    let tool = shipped(name).or_else(|| stands_in_for(name));
    tool.is_some_and(|tool| tool.name == super::steps::SENDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_means_one_tool() {
        let mut names: Vec<_> = SHIPPED.iter().flat_map(|tool| tool.aliases.iter().chain([&tool.name])).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(stands_in_for("GitHub-Stargazer Scraper").map(|tool| tool.name), Some("github_stargazers"));
        assert!(stands_in_for("email_send").is_none() && stands_in_for("producthunt_maker_scraper").is_none());
        assert!(sends_mail("cold_email_sender") && sends_mail("email_send") && !sends_mail("web_page"));
    }
}
