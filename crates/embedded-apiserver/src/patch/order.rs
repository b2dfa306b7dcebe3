//! The order of a list that two sides contributed to.

/// Merges two orders of the same kind of thing.
///
/// `wanted` are the elements one side named, in the order it wants; `others` are elements only the
/// other side has, as (position in the old list, element), ascending. `position` tells where a
/// wanted element was in the old list. The wanted order is kept, and every other element stays
/// before those wanted elements that it preceded in the old list.
pub(super) fn merge_order<T>(
    wanted: Vec<T>,
    others: Vec<(usize, T)>,
    position: impl Fn(&T) -> Option<usize>,
) -> Vec<T> {
    let mut result = Vec::with_capacity(wanted.len() + others.len());
    let mut others = others.into_iter().peekable();
    for element in wanted {
        if let Some(at) = position(&element) {
            while let Some((_, other)) = others.next_if(|(index, _)| *index < at) {
                result.push(other);
            }
        }
        result.push(element);
    }
    result.extend(others.map(|(_, other)| other));
    result
}
