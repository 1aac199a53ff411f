use pretty_assertions::assert_eq;
use ratatui::style::{Color, Modifier, Style};
use rstest::rstest;

use super::*;

fn all() -> Vec<Theme> {
    SHIPPED.iter().map(|(name, text)| read(name, text).unwrap_or_else(|err| panic!("{err}"))).collect()
}

#[test]
fn every_shipped_theme_is_complete() {
    assert_eq!(all().len(), 8);
}

/// 4.5 is what WCAG 2.1 AA asks of text.
#[test]
fn everything_that_is_read_has_enough_contrast_in_every_theme() {
    let mut poor = Vec::new();
    for theme in all() {
        for role in Role::ALL.iter().filter(|role| role.is_text()) {
            let style = theme.style(*role);
            let grounds = [theme.background.bg, theme.style(Role::Header).bg, theme.style(Role::Footer).bg];
            let grounds = if style.bg.is_some() { vec![style.bg] } else { grounds.to_vec() };
            for ground in grounds.into_iter().flatten() {
                if let Some(ratio) = style.fg.and_then(|fg| contrast::ratio(fg, ground)).filter(|ratio| *ratio < 4.5) {
                    poor.push(format!("{} {} {:?} on {ground}: {ratio:.2}", theme.name, role.name(), style.fg));
                }
            }
        }
    }
    assert!(poor.is_empty(), "{poor:#?}");
}

#[test]
fn contrast_is_that_of_the_standard() {
    let rgb = |it: &str| it.parse::<Color>().unwrap();
    assert!((contrast::ratio(rgb("#000000"), rgb("#ffffff")).unwrap() - 21.0).abs() < 1e-9);
    assert!((contrast::ratio(rgb("#777777"), rgb("#ffffff")).unwrap() - 4.48).abs() < 0.01);
    assert_eq!(contrast::ratio(Color::Reset, rgb("#ffffff")), None);
}

#[test]
fn mono_has_no_colour_and_yet_tells_what_is_selected_and_what_is_wrong() {
    let mono = mono();
    for role in Role::ALL {
        let style = mono.style(*role);
        assert!(matches!(style.fg, None | Some(Color::Reset)) && style.bg.is_none(), "{role:?}");
    }
    assert!(mono.style(Role::Selection).add_modifier.contains(Modifier::REVERSED));
    assert_ne!(mono.style(Role::Danger), mono.style(Role::Text));
}

#[rstest]
#[case::missing("background = \"on #000\"\n[roles]\ntext = \"white\"", "the role `muted` is missing")]
#[case::unknown("[roles]\nshiny = \"white\"", "there is no role `shiny`")]
#[case::colour("[roles]\ntext = \"#ff\"", "text: `#ff` is no colour")]
#[case::ground("[roles]\ntext = \"white on\"", "text: a colour belongs after `on`")]
#[case::palette("[palette]\nink = \"inky\"\n[roles]", "`inky` is no colour")]
#[case::no_toml("roles", "theme `mine`")]
fn a_theme_that_cannot_be_used_says_why(#[case] text: &str, #[case] words: &str) {
    let said = read("mine", text).unwrap_err().to_string();
    assert!(said.contains(words), "{said}");
}

#[test]
fn colours_come_down_to_the_nearest_that_there_are() {
    let style =
        Style::new().fg(Color::Rgb(0xf2, 0x77, 0x7a)).bg(Color::Rgb(0x14, 0x16, 0x1b)).add_modifier(Modifier::BOLD);
    let within = |depth| depth::within(style, depth);
    assert_eq!(within(Depth::True), style);
    assert_eq!(
        (within(Depth::Many).fg, within(Depth::Many).bg),
        (Some(Color::Indexed(210)), Some(Color::Indexed(233)))
    );
    assert_eq!(within(Depth::Sixteen).bg, Some(Color::Black));
    assert_eq!((within(Depth::None).fg, within(Depth::None).bg), (None, None));
    assert!(within(Depth::None).add_modifier.contains(Modifier::BOLD), "meaning rides on it");
}

#[rstest]
#[case(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], Depth::True)]
#[case(&[("TERM", "xterm-256color")], Depth::Many)]
#[case(&[("TERM", "linux")], Depth::Sixteen)]
#[case(&[("TERM", "dumb"), ("COLORTERM", "truecolor")], Depth::None)]
#[case(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("NO_COLOR", "1")], Depth::None)]
#[case(&[("TERM", "xterm-256color"), ("NO_COLOR", "")], Depth::Many)]
#[case(&[], Depth::None)]
fn the_environment_says_how_many_colours_there_are(#[case] set: &[(&str, &str)], #[case] depth: Depth) {
    let get = |name: &str| set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
    assert_eq!(Depth::of_environment(get), depth);
}

#[test]
fn every_theme_tells_all_that_matters_apart_also_in_sixteen_colours() {
    for theme in all() {
        let theme = theme.within(Depth::Sixteen);
        for (one, other) in [(Role::Text, Role::Danger), (Role::Text, Role::Selection), (Role::Border, Role::Focus)] {
            assert_ne!(theme.style(one), theme.style(other), "{}: {one:?} and {other:?}", theme.name);
        }
    }
}

#[test]
fn a_persons_themes_come_from_the_folder_and_a_broken_one_says_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let dark = SHIPPED[0].1;
    std::fs::write(folder.path().join("mine.toml"), dark).unwrap();
    std::fs::write(folder.path().join("nord.toml"), dark).unwrap();
    std::fs::write(folder.path().join("broken.toml"), dark.replacen("text = ", "text = \"nocolour\"\nx = ", 1))
        .unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no theme").unwrap();
    let found = person::all(Some(folder.path()), Depth::True);
    assert_eq!(found.themes.len(), SHIPPED.len() + 1);
    let of = |name: &str| found.themes.iter().find(|it| it.name == name).unwrap();
    assert_eq!(
        of("nord").style(Role::Text),
        of("dark").style(Role::Text),
        "a person's theme takes the place of a shipped one"
    );
    let said = found.broken.iter().map(ToString::to_string).collect::<Vec<_>>();
    let line = dark.lines().position(|line| line.starts_with("text = ")).unwrap() + 2;
    assert_eq!(said.len(), 1);
    assert!(said[0].contains(&format!("broken.toml:{line}: there is no role `x`")), "{said:?}");
    assert_eq!(
        person::all(Some(folder.path()), Depth::None).themes,
        [mono()],
        "where there are no colours there is one"
    );
}
