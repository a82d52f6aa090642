//! What the host checks of a guest's answer, the same for every kind of instance.

use std::collections::HashSet;

use super::{Batch, Bytes, CALL_BYTES_MAX, Rejection, Role, SNAPSHOT_BYTES_MAX, StageError, Trap};

/// No more events than were asked for.
pub(super) fn demand(call: &'static str, emitted: &Batch, demand: u32) -> Result<(), Trap> {
    if emitted.len() as u64 <= u64::from(demand) {
        return Ok(());
    }
    let emitted = emitted.len();
    let message = format!("{emitted} events were returned, {demand} were asked for; none was taken");
    Err(Trap::Contract { call, message })
}

/// No event of a consumer.
pub(super) fn tick(call: &'static str, role: Role, emitted: &Batch) -> Result<(), Trap> {
    if role != Role::Consumer || emitted.is_empty() {
        return Ok(());
    }
    let emitted = emitted.len();
    Err(Trap::Contract { call, message: format!("{emitted} events were returned by a consumer, which emits none") })
}

/// Every rejection names an event of the batch, and no event is named twice.
pub(super) fn rejections(call: &'static str, rejections: &[Rejection], delivered: usize) -> Result<(), Trap> {
    let mut seen = HashSet::with_capacity(rejections.len());
    for &Rejection { index, .. } in rejections {
        if index as usize >= delivered {
            let message = format!("rejection of event {index}, but {delivered} were delivered, counted from 0");
            return Err(Trap::Contract { call, message });
        }
        if !seen.insert(index) {
            return Err(Trap::Contract { call, message: format!("event {index} was rejected twice; once is allowed") });
        }
    }
    Ok(())
}

/// The call does not go with the role: a mistake of the caller, which ends the instance as one of
/// the guest would.
pub(super) fn wrong_role(call: &'static str, role: Role) -> Trap {
    Trap::Contract { call, message: format!("the plugin is a {role}, which has no such call") }
}

/// The plugin has no such function: a mistake of the caller, as above.
pub(super) fn not_exported(call: &'static str, interface: &str) -> Trap {
    Trap::Contract { call, message: format!("the plugin has no `{interface}` export") }
}

/// A snapshot as the guest gave it, if it is not too long.
pub(super) fn snapshot(given: Result<Vec<u8>, String>) -> Result<Bytes, StageError> {
    let snapshot = given.map_err(|message| StageError::Retry(clean(&message)))?;
    if snapshot.len() <= SNAPSHOT_BYTES_MAX {
        return Ok(snapshot.into());
    }
    let bytes = snapshot.len();
    Err(StageError::Retry(format!("its snapshot has {bytes} bytes; at most {SNAPSHOT_BYTES_MAX} are taken")))
}

/// A request that the guest may be asked.
pub(super) fn request(request: &[u8]) -> Result<(), StageError> {
    let bytes = request.len();
    if bytes <= CALL_BYTES_MAX {
        return Ok(());
    }
    Err(StageError::Refused(format!("it has {bytes} bytes; at most {CALL_BYTES_MAX} are taken")))
}

/// An answer as the guest gave it, if it is not too long.
pub(super) fn answer(given: Result<Vec<u8>, String>) -> Result<Bytes, StageError> {
    let answer = given.map_err(|message| StageError::Refused(clean(&message)))?;
    if answer.len() <= CALL_BYTES_MAX {
        return Ok(answer.into());
    }
    let bytes = answer.len();
    Err(StageError::Refused(format!("its answer has {bytes} bytes; at most {CALL_BYTES_MAX} are taken")))
}

/// The most bytes of one text of a guest, after escaping. 8 KiB, as the WIT says for log lines.
pub(super) const TEXT_BYTES_MAX: usize = 8 << 10;

/// A guest's text made safe for a terminal and a log: control characters and those that turn the
/// direction of writing are escaped, and what passes [`TEXT_BYTES_MAX`] is cut off.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    for char in text.chars() {
        let before = cleaned.len();
        match char {
            '\t' => cleaned.push(char),
            _ if char.is_control() || turns_text(char) => cleaned.extend(char.escape_default()),
            _ => cleaned.push(char),
        }
        if cleaned.len() > TEXT_BYTES_MAX {
            cleaned.truncate(before);
            break;
        }
    }
    cleaned
}

/// An error with its text cleaned.
pub(super) fn clean_error(error: StageError) -> StageError {
    match error {
        StageError::Retry(text) => StageError::Retry(clean(&text)),
        StageError::Fatal(text) => StageError::Fatal(clean(&text)),
        StageError::Refused(text) => StageError::Refused(clean(&text)),
    }
}

/// Cleans the reason.
pub(super) fn clean_rejection(rejection: &mut Rejection) {
    rejection.reason = clean(&rejection.reason);
}

/// Marks of direction and line or paragraph separators: invisible, and able to reorder a line.
fn turns_text(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(index: u32) -> Rejection {
        Rejection { index, retry: false, reason: String::new() }
    }

    #[test]
    fn a_rejection_names_a_delivered_event_once() {
        assert_eq!(rejections("c", &[rejection(1), rejection(0)], 2), Ok(()));
        let outside = rejections("c", &[rejection(2)], 2).unwrap_err().to_string();
        assert_eq!(outside, "c broke the contract: rejection of event 2, but 2 were delivered, counted from 0");
        let twice = rejections("c", &[rejection(1), rejection(1)], 2).unwrap_err().to_string();
        assert_eq!(twice, "c broke the contract: event 1 was rejected twice; once is allowed");
    }

    #[test]
    fn a_cleaned_text_has_no_control_characters_and_at_most_8_kib() {
        assert_eq!(clean("a\tb\u{1b}[31m\nc\u{202e}"), "a\tb\\u{1b}[31m\\nc\\u{202e}");
        assert_eq!(clean(&"\0".repeat(1 << 20)).len(), TEXT_BYTES_MAX / 5 * 5);
        assert_eq!(clean(&"ä".repeat(1 << 20)).len(), TEXT_BYTES_MAX);
    }
}
