//! The ways in which people can be reached, as texts name them.

use std::collections::BTreeSet;

use crate::llm::tasks::words::Words;

/// Each way with what it is called by.
const WAYS: &[(&str, &str)] = &[
    (
        "mail",
        "\
            mail, mails, email, emails, mailed, emailed, mailing, emailing, write to, writing to, wrote to, inbox, cold mail, e mail",
    ),
    ("sms", "sms, text message, text messages, texting, texted, texts, whatsapp"),
    ("call", "call, calls, phone, phoning, ring, cold call, cold calls"),
    ("video", "video, videos, clip, clips, youtube, reel, reels, livestream, live stream, stream"),
    ("ads", "ad, ads, adwords, paid search, search ads, banner, banners, billboard, sponsored slot"),
    ("linkedin", "linkedin"),
    (
        "event",
        "\
            dinner, breakfast, meetup, meetups, webinar, webinars, conference, booth, talk, fair, trade show, \
            tradeshow, workshop, expo, event, events, party, festival booth",
    ),
    ("page", "landing page, page, widget, calculator, checklist, template, download, whitepaper"),
    ("post", "blog, post, posts, launch post, article, guest post, subreddit, hacker news"),
    (
        "print",
        "\
            flyer, flyers, letter, letters, postcard, postcards, sticker, stickers, poster, posters, bags, cards, \
            aushange, calendar",
    ),
    ("podcast", "podcast, podcasts, radio"),
    ("newsletter", "newsletter, newsletters"),
    ("referral", "referral, referrals, refer, discount"),
];

/// The ways that a text names.
pub(super) fn of(words: &Words) -> BTreeSet<&'static str> {
    WAYS.iter().filter(|(_, names)| words.has(names)).map(|(way, _)| *way).collect()
}
