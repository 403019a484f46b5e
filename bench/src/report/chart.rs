//! The live path as bars on a logarithmic scale.

use super::Line;

/// A chart of what each variant adds.
pub(crate) fn svg(lines: &[Line]) -> String {
    let shown: Vec<&Line> = lines.iter().filter(|line| line.added_ns >= 1.0).collect();
    let longest = shown.iter().map(|line| line.added_ns).fold(10.0, f64::max);
    let decades = longest.log10().ceil();
    let rows = u32::try_from(shown.len()).unwrap_or(u32::MAX);
    let height = f64::from(rows) * ROW + TOP + ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"18\">Added nanoseconds a packet (logarithmic)</text>\n"
    );
    let scale = (WIDTH - LEFT - RIGHT) / decades;
    let mut decade = 0.0;
    while decade <= decades {
        let x = LEFT + decade * scale;
        svg += &format!(
            "<line x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"{TOP}\" y2=\"{:.0}\" stroke=\"#ddd\"/>\n\
             <text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\n",
            height - ROW,
            height - 6.0,
            10_f64.powf(decade)
        );
        decade += 1.0;
    }
    let mut y = TOP;
    for line in shown {
        let length = line.added_ns.log10() * scale;
        let baseline = y + ROW * 0.7;
        let bar = ROW - 4.0;
        svg += &format!(
            "<text x=\"{:.0}\" y=\"{baseline:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{length:.0}\" height=\"{bar}\" fill=\"{}\"/>\n\
             <text x=\"{:.0}\" y=\"{baseline:.0}\">{:.0}</text>\n",
            LEFT - 8.0,
            escaped(&line.name),
            y + 2.0,
            colour(&line.name),
            LEFT + length + 6.0,
            line.added_ns
        );
        y += ROW;
    }
    svg + "</svg>\n"
}

/// Ours stand out.
fn colour(name: &str) -> &'static str {
    if name.starts_with("outgate") {
        "#2b6cb0"
    } else {
        "#a0aec0"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 420.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 30.0;
const ROW: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, added_ns: f64) -> Line {
        Line {
            name: name.to_owned(),
            policies: 1,
            flows: 0,
            sources: 1,
            min_ns: added_ns,
            median_ns: added_ns,
            added_ns,
            added_bounds_ns: None,
            rounds_ns: vec![added_ns],
            sent: 1,
            received_percent: 100.0,
            delivered_percent: 100.0,
        }
    }

    #[test]
    fn every_bar_is_drawn_to_scale_and_the_floor_is_not() {
        let lines = [
            line("a < b", 10.0),
            line("outgate", 100.0),
            line("floor", 0.0),
        ];
        let svg = svg(&lines);
        // Two decades over 480 points.
        assert!(svg.contains("width=\"240\""), "{svg}");
        assert!(
            svg.contains("width=\"480\" height=\"16\" fill=\"#2b6cb0\""),
            "{svg}"
        );
        assert!(svg.contains("a &lt; b") && !svg.contains("floor"));
        assert_eq!(svg.matches("<rect").count(), 3, "the ground and two bars");
    }
}
