/// A hash table of fixed size, with chains, from page numbers to a cache's pages.
struct CacheIndex {
    private let pages: UnsafeMutablePointer<CardCachePage>
    private let heads: UnsafeMutablePointer<Int32>
    private let shift: UInt64

    init(pages: UnsafeMutablePointer<CardCachePage>, pageCount: Int) {
        self.pages = pages
        var bits = 1
        while 1 << bits < pageCount * 2 { bits += 1 }
        heads = .allocate(capacity: 1 << bits)
        heads.initialize(repeating: CardCachePage.none, count: 1 << bits)
        shift = UInt64(64 - bits)
    }

    func deallocate() { heads.deallocate() }

    /// Fibonacci hashing: neighbouring pages land far apart.
    private func head(_ number: UInt64) -> UnsafeMutablePointer<Int32> {
        heads + Int((number &* 0x9E37_79B9_7F4A_7C15) >> shift)
    }

    /// The index of the page with that number, or `CardCachePage.none`.
    func find(_ number: UInt64) -> Int32 {
        var index = head(number).pointee
        while index != CardCachePage.none && pages[Int(index)].number != number {
            index = pages[Int(index)].nextInIndex
        }
        return index
    }

    func insert(_ index: Int32) {
        assert(find(pages[Int(index)].number) == CardCachePage.none, "two pages have the same number")
        let head = head(pages[Int(index)].number)
        pages[Int(index)].nextInIndex = head.pointee
        head.pointee = index
    }

    func remove(_ index: Int32) {
        assert(find(pages[Int(index)].number) == index, "the page is not in the index")
        let head = head(pages[Int(index)].number)
        let next = pages[Int(index)].nextInIndex
        if head.pointee == index {
            head.pointee = next
        } else {
            var previous = head.pointee
            while pages[Int(previous)].nextInIndex != index { previous = pages[Int(previous)].nextInIndex }
            pages[Int(previous)].nextInIndex = next
        }
    }
}
