//! Files of rules, right and wrong.

use super::*;

#[test]
fn the_example_is_a_file_of_rules() {
    let text = include_str!("../../../../../deploy/rules.toml");
    let rules = parse(text);
    assert_eq!(rules.rules, [], "nothing happens until somebody wants it");
    // Every example in it is one, too.
    let wanted: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("#> ").unwrap_or(line))
        .collect();
    let rules = parse(&wanted.join("\n"));
    let names: Vec<&str> = rules.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["spray", "spam", "unknown-users", "quiet"]);
}

#[test]
fn a_rule_is_read_whole() {
    let rules = parse(
        r#"
[caps]
new_flags_per_minute = 3
share_of_prefix = 0.5

[[rule]]
name = "a.b"
window = "1h"
for = "90s"
when = { all = ["rst_share >= 50%"], any = ["syns > 10", "octets <= 5 until 9"] }
probation = "1d"
probation_factor = 0.25
max_lifts = 2
[rule.scope]
prefixes = ["192.0.2.0/25"]
except = ["192.0.2.8/29"]
present = ["none", "limit"]
[rule.then]
action = "limit"
rate = "30/min"
ttl = "2d"
reason = "{rst_share} of {syns} in {window} by {rule}"
[rule.caps]
new_flags_per_minute = 1
"#,
    );
    assert_eq!(rules.caps.per_minute.map(u32::from), Some(3));
    let rule = rules.named("a.b").unwrap();
    assert_eq!(
        rule.when.to_string(),
        "rst_share >= 50% and (syns > 10 or octets <= 5 until 9)"
    );
    assert_eq!(
        (rule.window, rule.held_for),
        (Duration::from_secs(3600), Duration::from_secs(90))
    );
    assert_eq!((rule.probation_factor, rule.max_lifts), (0.25, Some(2)));
    assert_eq!(rule.caps.per_minute.map(u32::from), Some(1));
    for (customer, inside) in [
        ("192.0.2.1/32", true),
        ("192.0.2.9/32", false),
        ("192.0.2.128/32", false),
        ("2001:db8:a::/64", false),
    ] {
        assert_eq!(rule.scope.covers(who(customer)), inside, "{customer}");
    }
    let mut figures = Figures::of(&syns(12));
    figures.set(Figure::RstShare, 0.515);
    let terms = rule.terms().unwrap();
    let reason = terms.reason.filled("a.b", rule.window, &figures);
    assert_eq!(reason, "51.5 % of 12 in 1h by a.b");
    assert_eq!(
        parse(""),
        RuleSet {
            rules: Vec::new(),
            ..rules_without_caps()
        }
    );
}

fn rules_without_caps() -> RuleSet {
    parse("[caps]\nnew_flags_per_minute = 10\nshare_of_prefix = 0.05\n")
}

#[test]
fn a_wrong_file_is_refused_with_line_and_field() {
    let rule = |from: &str, to: &str| {
        let text = SPRAY.replace(from, to);
        assert_ne!(text, SPRAY, "{from}");
        text
    };
    for (text, line, field, words) in [
        (
            rule("\"spray\"", "\"a b\""),
            3,
            "rule[0].name",
            "allowed are 1 to 64 letters",
        ),
        (
            rule("window = \"2m\"", "window = \"3h\""),
            4,
            "rule[0].window",
            "from 1s to 2h",
        ),
        (
            rule("window = \"2m\"", "for = \"2y\""),
            4,
            "rule[0].for",
            "from 0s to 1d",
        ),
        (
            rule("syns > 100 until 50", "sins > 1"),
            5,
            "rule[0].when.all[0]",
            "sins is no figure",
        ),
        (
            rule("syns > 100 until 50", "syns > 100 until 200"),
            5,
            "rule[0].when.all[0]",
            "must not be above",
        ),
        (
            rule("syns > 100 until 50", "syns > x"),
            5,
            "rule[0].when.all[0]",
            "x is no number",
        ),
        (
            rule("syns > 100 until 50", "syns = 1"),
            5,
            "rule[0].when.all[0]",
            "= is no comparison",
        ),
        (
            rule("syns > 100 until 50", "rst_share > 50"),
            5,
            "rule[0].when.all[0]",
            "is a share",
        ),
        (
            rule("[\"syns > 100 until 50\"]", "[]"),
            5,
            "rule[0].when",
            "1 to 16 conditions",
        ),
        (
            rule("\"redirect\"", "\"pass\"\nrate = \"1/h\""),
            7,
            "rule[0].then.action",
            "treatment belongs to action redirect",
        ),
        (
            rule(
                "action = \"redirect\"\ntreatment = \"walled\"",
                "action = \"pass\"",
            ),
            7,
            "rule[0].then.action",
            "only a person gives",
        ),
        (
            rule("ttl = \"1h\"", "ttl = \"91d\""),
            9,
            "rule[0].then.ttl",
            "from 1s to 90d",
        ),
        (
            rule("{syns}", "{sins}"),
            10,
            "rule[0].then.reason",
            "{sins} is no figure",
        ),
        (
            rule("\"{syns} SYNs in {window}\"", "\"\""),
            10,
            "rule[0].then.reason",
            "one line of 1 to 140",
        ),
        (
            rule("ttl =", "life ="),
            9,
            "rule[0].then.life",
            "unknown field `life`",
        ),
        (
            rule("reason =", "pool = \"other\"\nreason ="),
            7,
            "rule[0].then.action",
            "pool other: unknown",
        ),
        (
            rule("action =", "dial = \"lift\"\naction ="),
            8,
            "rule[0].then.action",
            "makes no flag",
        ),
        (
            rule("action = \"redirect\"\n", ""),
            6,
            "rule[0].then.action",
            "missing",
        ),
        (
            rule("window =", "probation_factor = 0.5\nwindow ="),
            4,
            "rule[0].probation_factor",
            "without a probation",
        ),
        (
            rule("window =", "max_lifts = 0\nwindow ="),
            4,
            "rule[0].max_lifts",
            "allowed are 1 to 1000",
        ),
        (
            format!("{SPRAY}{SPRAY}"),
            13,
            "rule[1].name",
            "the name of a rule above",
        ),
        (
            String::from("[caps]\nshare_of_prefix = 1.5\n"),
            2,
            "caps.share_of_prefix",
            "at most 1",
        ),
        (
            String::from("[caps]\nnew_flags_per_minute = 0\n"),
            2,
            "caps.new_flags_per_minute",
            "freeze",
        ),
    ] {
        let wrong = RuleSet::parse(&text, &pools()).expect_err(&text);
        assert_eq!(
            (wrong.line, wrong.field.as_str()),
            (line, field),
            "{wrong}\n{text}"
        );
        assert!(wrong.problem.contains(words), "{wrong}\n{text}");
    }
}

#[test]
fn what_is_no_toml_has_a_line_all_the_same() {
    let wrong = RuleSet::parse("[caps]\nshare_of_prefix =", &pools()).unwrap_err();
    assert_eq!((wrong.line, wrong.field.as_str()), (2, "line 2"), "{wrong}");
}

#[test]
fn figures_that_somebody_makes_up_are_tried() {
    let rules = parse(SPRAY);
    let tried = |figures: &[&str]| {
        let figures: Vec<String> = figures.iter().map(ToString::to_string).collect();
        Figures::read(&figures).map(|figures| rules.tried(&figures).remove(0))
    };
    let beyond = tried(&["syns=101"]).unwrap();
    assert!(beyond.holds);
    assert_eq!(beyond.because, "syns 101 (> 100) in 2m");
    assert_eq!(beyond.then, "raise to walled: \"101 SYNs in 2m\"");
    let below = tried(&["syns=100"]).unwrap();
    assert!(!below.holds);
    assert_eq!(below.because, "not syns > 100 until 50");
    for (wrong, words) in [
        ("sins=1", "sins is no figure"),
        ("syns", "not negative"),
        ("syns=-1", "not negative"),
        ("spam_share=2", "from 0 to 1"),
    ] {
        assert!(tried(&[wrong]).unwrap_err().contains(words), "{wrong}");
    }
}
