//! A picture as SVG. Where boxes and arrows go is decided by the crate `layout-rs`, in layers, as Graphviz does.

use layout::{
    backends::svg::SVGWriter,
    core::{
        base::Orientation,
        color::Color,
        geometry::Point,
        style::{LineStyleKind, StyleAttr},
    },
    std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind},
    topo::layout::VisualGraph,
};

use super::drawing::{Drawing, StageBox};

/// Unit: pixels.
const FONT_SIZE: usize = 14;
/// Of the widest letters of most fonts of this size. Unit: pixels.
const LETTER_WIDTH: f64 = 8.5;
const LINE_HEIGHT: f64 = 18.0;
/// Between a box and its text, both sides together.
const MARGIN: f64 = 24.0;

pub(super) fn draw(drawing: &Drawing) -> String {
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    let boxes: Vec<_> = drawing.stages.iter().map(|stage| graph.add_node(element(stage))).collect();
    for arrow in &drawing.arrows {
        let line = Arrow::new(
            LineEndKind::None,
            LineEndKind::Arrow,
            LineStyleKind::Normal,
            &arrow.label,
            &style(0),
            &None,
            &None,
        );
        graph.add_edge(line, boxes[arrow.from], boxes[arrow.to]);
    }
    let mut writer = SVGWriter::new();
    let (debug, quick, only_layout) = (false, false, false);
    graph.do_it(debug, quick, only_layout, &mut writer);
    writer.finalize().replace("font-family: Times, serif;", "font-family: sans-serif;")
}

fn element(stage: &StageBox) -> Element {
    let letters = stage.lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let size = Point::new(letters as f64 * LETTER_WIDTH + MARGIN, stage.lines.len() as f64 * LINE_HEIGHT + MARGIN);
    let corners = if stage.is_global { 12 } else { 2 };
    Element::create(ShapeKind::new_box(&stage.lines.join("\n")), style(corners), Orientation::LeftToRight, size)
}

fn style(corners: usize) -> StyleAttr {
    StyleAttr::new(Color::fast("black"), 1, Some(Color::fast("white")), corners, FONT_SIZE)
}

#[cfg(test)]
mod tests {
    use forebay_proto::pipeline::Pipeline;

    use super::*;

    #[test]
    fn every_stage_is_drawn_and_every_subscription_has_an_arrow() {
        let mut text = "name = \"p\"\n[stages.s0]\nplugin = \"<a>&.wasm\"\nscope = \"global\"\n".to_owned();
        for stage in 1..40 {
            let (one, other) = (stage / 2, stage - 1);
            let to = if one == other {
                format!("[{{ to = \"s{one}\" }}]")
            } else {
                format!("[{{ to = \"s{one}\" }}, {{ to = \"s{other}\", max_demand = 7 }}]")
            };
            text += &format!("[stages.s{stage}]\nplugin = \"x.wasm\"\nsubscribe = {to}\n");
        }
        let drawing = Drawing::of(&Pipeline::parse(&text, "pipeline.toml").unwrap());
        let drawn = draw(&drawing);
        assert_eq!(drawn.matches("<rect ").count(), 40);
        assert_eq!(drawn.matches("url(#endarrow)").count(), drawing.arrows.len());
        assert!(drawn.contains("&lt;a&gt;&amp;.wasm") && drawn.contains("max 7"), "{drawn}");
        assert_eq!(drawn, draw(&drawing), "the same picture each time");
    }
}
