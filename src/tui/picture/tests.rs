use pretty_assertions::assert_eq;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::*;
use crate::tui::app::tests::{about, furnished};

/// A buffer with these texts in these styles, one below the other.
fn buffer(width: u16, lines: &[(&str, Style)]) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, u16::try_from(lines.len()).unwrap()));
    for (y, (text, style)) in lines.iter().enumerate() {
        buffer.set_string(0, u16::try_from(y).unwrap(), text, *style);
    }
    buffer
}

fn red() -> Style {
    Style::new().fg(Color::Rgb(0xff, 0, 0))
}

#[test]
fn a_run_is_one_text_as_wide_as_its_cells() {
    let svg = svg(&buffer(20, &[("two words", red())]), "t");
    assert!(svg.contains(".s0{fill:#ff0000}"), "{svg}");
    assert!(
        svg.contains("textLength=\"81\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">two words</text>")
    );
    assert_eq!(svg.matches("<text").count(), 1);
    assert!(svg.contains("viewBox=\"0 0 200 39\""), "{svg}");
}

#[test]
fn texts_are_escaped_also_in_the_title() {
    let svg = svg(&buffer(30, &[("<script>&\"x\"</script>", red())]), "a <b> & \u{7}c");
    assert!(svg.contains("&lt;script&gt;&amp;&quot;x&quot;&lt;/script&gt;") && !svg.contains("<script"));
    assert!(svg.contains("<title>a &lt;b&gt; &amp; c</title>"));
}

#[test]
fn frames_are_lines_that_join_and_no_letters() {
    let svg = svg(&buffer(4, &[("┌──┐", red()), ("│  │", red()), ("└──┘", red())]), "t");
    assert_eq!(svg.matches("<text").count(), 0);
    assert_eq!(svg.matches("<path").count(), 1, "one path for one colour: {svg}");
    // From the middle of one corner to the middle of the other, without a gap.
    assert!(svg.contains("M14 19.5H42"), "{svg}");
    let path = svg.lines().find(|line| line.starts_with("<path")).unwrap();
    assert_eq!((path.matches('H').count(), path.matches('V').count()), (2, 2), "{path}");
}

#[test]
fn every_sign_of_frames_has_its_arms() {
    for sign in "│─┌┐└┘├┤┬┴┼╭╮╰╯┃━┏┓┗┛┣┫┳┻╋".chars() {
        assert!(arms(sign).is_some_and(|(arms, _)| arms.iter().any(|arm| *arm)), "{sign}");
    }
    assert_eq!(arms('├'), Some(([true, true, true, false], false)));
    assert_eq!(arms('┓'), Some(([false, false, true, true], true)));
    assert_eq!(('▁'..='█').map(block).collect::<Option<Vec<_>>>(), Some((1..=8).collect()));
    assert_eq!((arms('a'), block('a')), (None, None));
}

#[test]
fn a_wide_character_takes_its_two_cells_and_what_follows_stands_right() {
    let svg = svg(&buffer(12, &[("ab東京cd", red())]), "t");
    assert!(svg.contains("x=\"28\" y=\"24\" textLength=\"18\""), "{svg}");
    assert!(
        svg.contains(
            "x=\"64\" y=\"24\" textLength=\"18\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">cd<"
        ),
        "{svg}"
    );
}

#[test]
fn styles_are_kept_and_reverse_swaps_ink_and_ground() {
    let style = Style::new().fg(Color::Rgb(1, 2, 3)).bg(Color::Rgb(0xaa, 0xbb, 0xcc));
    let style = style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED | Modifier::REVERSED);
    let svg = svg(&buffer(8, &[("x", style)]), "t");
    assert!(svg.contains("fill:#aabbcc;font-weight:bold;text-decoration:underline"), "{svg}");
    assert!(svg.contains("fill=\"#010203\""), "{svg}");
}

#[test]
fn a_ground_is_one_rectangle_for_a_run() {
    let ground = Style::new().bg(Color::Blue);
    let svg = svg(&buffer(8, &[("abcd", ground), ("", Style::new())]), "t");
    assert!(svg.contains("<rect x=\"10\" y=\"10\" width=\"36\" height=\"19\" fill=\"#0000ee\"/>"), "{svg}");
    assert_eq!(svg.matches("<rect").count(), 2);
}

#[test]
fn all_colours_of_terminals_are_shown() {
    assert_eq!(rgb(Color::Indexed(196), 0), 0x00ff_0000);
    assert_eq!(rgb(Color::Indexed(255), 0), 0x00ee_eeee);
    assert_eq!(rgb(Color::Indexed(9), 0), rgb(Color::LightRed, 0));
    assert_eq!(rgb(Color::Reset, 7), 7);
    for at in 0..=255 {
        rgb(Color::Indexed(at), 0);
    }
}

#[test]
fn the_same_room_is_the_same_picture_and_its_text_is_what_is_on_the_screen() {
    let model = furnished(120, 40);
    let (one, two) = (cells(&model).unwrap(), cells(&model).unwrap());
    assert_eq!(svg(&one, "Deck"), svg(&two, "Deck"));
    assert_eq!(text(&one), crate::tui::draw::tests::shown(&model, 120, 40));
    assert!(svg(&one, "Deck").len() < 120_000);
}

#[test]
fn a_scene_is_any_screen_in_any_theme_after_any_keys() {
    let store = || furnished(80, 24).store;
    let at = crate::tui::app::tests::now();
    let scene = Scene { screen: Screen::Mind, size: (100, 30), theme: "light", press: "? down" };
    let model = model(about(), store(), at, &scene).unwrap();
    assert_eq!((model.screen, model.layers.len(), model.theme.name.as_str()), (Screen::Mind, 1, "light"));
    let wrong = |scene: &Scene<'_>| super::model(about(), store(), at, scene).unwrap_err().to_string();
    assert!(wrong(&Scene { theme: "neon\u{1b}", ..scene }).starts_with("there is no theme `neon"));
    assert!(wrong(&Scene { press: "hyper-x", ..scene }).starts_with("`hyper-x` is no key"));
}
