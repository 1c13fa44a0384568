use super::*;

fn blob(content: &[u8], offset: u32, length: u32) -> IndexBlob {
    IndexBlob {
        id: Id::of(content),
        kind: BlobKind::Data,
        offset,
        length,
        uncompressed_length: None,
    }
}

fn pack(name: &[u8], blobs: Vec<IndexBlob>) -> IndexPack {
    IndexPack {
        id: Id::of(name),
        blobs,
    }
}

fn index(packs: Vec<IndexPack>) -> BlobIndex {
    let mut index = BlobIndex::default();
    index.add(IndexFile { packs });
    index
}

fn pack_of(index: &BlobIndex, content: &[u8]) -> Option<Id> {
    index.pack(&index.find(BlobKind::Data, &Id::of(content))?)
}

#[test]
fn what_is_excluded_is_found_elsewhere_or_not_at_all() {
    let mut index = index(vec![
        pack(b"one", vec![blob(b"a", 0, 40), blob(b"b", 40, 40)]),
        pack(b"two", vec![blob(b"b", 0, 40)]),
        pack(b"three", vec![blob(b"b", 0, 40), blob(b"c", 40, 40)]),
    ]);
    assert_eq!(index.places(BlobKind::Data, &Id::of(b"b")).len(), 3);
    index.exclude(&HashSet::from([Id::of(b"one"), Id::of(b"three")]));
    assert_eq!(pack_of(&index, b"a"), None);
    assert_eq!(pack_of(&index, b"b"), Some(Id::of(b"two")));
    assert_eq!(pack_of(&index, b"c"), None);
    assert_eq!(index.places(BlobKind::Data, &Id::of(b"b")).len(), 1);
    let left: Vec<Id> = index.packs().map(|pack| pack.id).collect();
    assert_eq!(left, [Id::of(b"two")]);
}

#[test]
fn a_pack_that_two_index_files_name_is_one_pack() {
    let one = pack(b"one", vec![blob(b"a", 0, 40)]);
    let mut index = index(vec![one.clone()]);
    index.add(IndexFile { packs: vec![one] });
    assert_eq!(index.packs().count(), 1);
    assert_eq!(index.places(BlobKind::Data, &Id::of(b"a")).len(), 1);
}
