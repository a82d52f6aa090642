//! A batch as one line. The misbehaving consumer prints the same one and shares this file.

use forebay_sdk::Delivery;

/// `NODE: [first, second]`; payloads that are not UTF-8 are escaped.
pub(crate) fn of(node: &str, delivery: &Delivery) -> String {
    let mut line = format!("{node}: [");
    for event in delivery {
        if event.index > 0 {
            line.push_str(", ");
        }
        match event.text() {
            Ok(text) => line.push_str(text),
            Err(_) => line.extend(event.payload.escape_ascii().map(char::from)),
        }
    }
    line.push(']');
    line
}

#[cfg(test)]
mod tests {
    use forebay_sdk::testing;

    use super::*;

    #[test]
    fn a_line_names_the_node_and_the_payloads() {
        let delivery = testing::delivery(["1010", "1011", "1012"]);
        assert_eq!(of("leaf-1", &delivery), "leaf-1: [1010, 1011, 1012]");
        assert_eq!(of("n", &testing::delivery([""; 0])), "n: []");
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        let delivery = testing::delivery([&b"\xff\x01a"[..], "grün".as_bytes()]);
        assert_eq!(of("n", &delivery), r"n: [\xff\x01a, grün]");
    }
}
