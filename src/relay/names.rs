//! Names: the channels of the request at hand, each by its namespace and id, in the order of the
//! request. Never decodes an id; allocates nothing once it has had room for as many.

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The names, one behind the other; behind the last one that which has begun.
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    ends: Vec<usize>,
    /// The places of the names in `ends`, ordered by their bytes: to find one that is there.
    sorted: Vec<usize>,
}

impl Names {
    /// Forgets all names.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.sorted.clear();
    }

    /// Begins a name with `namespace`, instead of one that has not been added; the bytes of the id
    /// are to be pushed behind it.
    pub(super) fn begin(&mut self, namespace: &[u8]) -> &mut Vec<u8> {
        self.bytes.truncate(self.end());
        self.bytes.extend_from_slice(namespace);
        &mut self.bytes
    }

    /// Adds the name that has begun, unless it is there already.
    pub(super) fn add(&mut self) {
        let name = &self.bytes[self.end()..];
        if let Err(place) = self.sorted.binary_search_by(|index| self.at(*index).cmp(name)) {
            self.sorted.insert(place, self.ends.len());
            self.ends.push(self.bytes.len());
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The first name; of no request that was admitted it is empty.
    pub(super) fn first(&self) -> &[u8] {
        self.iter().next().unwrap_or_default()
    }

    /// All names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.at(index))
    }

    fn at(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// Where the last name ends.
    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_name_is_there_once_and_at_its_first_place() {
        let mut names = Names::default();
        for _ in 0..2 {
            assert_eq!((names.len(), names.first()), (0, &b""[..]));
            for id in ["b", "a", "b", "c", "a", "ab"] {
                names.begin(b"n").extend_from_slice(id.as_bytes());
                names.add();
            }
            // One that is not added leaves nothing behind.
            names.begin(b"n").push(b'x');
            let all: Vec<&[u8]> = names.iter().collect();
            assert_eq!(all, [b"nb", b"na", b"nc", &b"nab"[..]]);
            assert_eq!((names.len(), names.first()), (4, &b"nb"[..]));
            names.clear();
        }
    }
}
