//! A picture as text of a Mermaid flowchart.

use std::fmt::Write as _;

use super::drawing::Drawing;

pub(super) fn draw(drawing: &Drawing) -> String {
    let mut text = String::from("flowchart LR\n");
    for (index, stage) in drawing.stages.iter().enumerate() {
        let lines: Vec<_> = stage.lines.iter().map(|line| escape(line)).collect();
        // Rounded: one in the cluster.
        let (open, close) = if stage.is_global { ("([", "])") } else { ("[", "]") };
        put(&mut text, format_args!("    s{index}{open}\"{}\"{close}", lines.join("<br/>")));
    }
    for arrow in &drawing.arrows {
        let label = if arrow.label.is_empty() { String::new() } else { format!("|\"{}\"|", escape(&arrow.label)) };
        put(&mut text, format_args!("    s{} -->{label} s{}", arrow.from, arrow.to));
    }
    text
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to memory does not fail");
}

/// Mermaid's entities begin with `#`; without them quotes end a label, and a backquote begins Markdown.
fn escape(label: &str) -> String {
    let mut escaped = String::new();
    for character in label.chars() {
        match character {
            '#' | '"' | '<' | '>' | '&' | '`' | '*' | '_' => put_entity(&mut escaped, character),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn put_entity(escaped: &mut String, character: char) {
    write!(escaped, "#{};", u32::from(character)).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use forebay_proto::pipeline::Pipeline;

    use super::*;

    #[test]
    fn boxes_arrows_and_what_differs_from_the_defaults() {
        let text = r#"
            name = "p"
            [stages.orders]
            plugin = "build/orders.wasm"
            scope = "global"
            dispatcher = "broadcast"
            [stages.audit]
            plugin = "builtin:print"
            subscribe = [{ to = "orders", topics = ["a.*", "b.>"], max_demand = 10 }]
            [stages.store]
            plugin = "od\"d.wasm"
            labels = ["disk"]
            subscribe = [{ to = "orders", deliver = "shared" }]
        "#;
        let drawn = draw(&Drawing::of(&Pipeline::parse(text, "pipeline.toml").unwrap()));
        let expected = "flowchart LR\n\
            \x20   s0([\"orders<br/>orders.wasm<br/>one in the cluster<br/>broadcast\"])\n\
            \x20   s1[\"audit<br/>builtin:print<br/>one on each node\"]\n\
            \x20   s2[\"store<br/>od#34;d.wasm<br/>one on each node with disk\"]\n\
            \x20   s0 -->|\"a.#42; b.#62;, max 10\"| s1\n\
            \x20   s0 -->|\"shared\"| s2\n";
        assert_eq!(drawn, expected);
    }
}
