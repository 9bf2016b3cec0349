/// The dirty pages of a cache that are not being destaged, oldest first by `dirtyAt`.
struct DirtyList {
    private let pages: UnsafeMutablePointer<CardCachePage>
    private(set) var first = CardCachePage.none
    private var last = CardCachePage.none

    init(pages: UnsafeMutablePointer<CardCachePage>) { self.pages = pages }

    /// Inserts a page by its age. New pages come last; a page whose destage failed is older, and usually near the
    /// front.
    mutating func insert(_ index: Int32) {
        assert(!pages[Int(index)].isListed, "the page is in the list")
        assert(pages[Int(index)].dirty != 0, "a clean page is listed as dirty")
        let dirtyAt = pages[Int(index)].dirtyAt
        if last == CardCachePage.none || pages[Int(last)].dirtyAt <= dirtyAt {
            link(index, after: last, before: CardCachePage.none)
        } else {
            var next = first
            while pages[Int(next)].dirtyAt <= dirtyAt { next = pages[Int(next)].next }
            link(index, after: pages[Int(next)].previous, before: next)
        }
        pages[Int(index)].isListed = true
    }

    mutating func remove(_ index: Int32) {
        assert(pages[Int(index)].isListed, "the page is not in the list")
        join(pages[Int(index)].previous, pages[Int(index)].next)
        pages[Int(index)].isListed = false
    }

    private mutating func link(_ index: Int32, after previous: Int32, before next: Int32) {
        assert(index != previous && index != next, "a page is its own neighbour")
        join(previous, index)
        join(index, next)
    }

    private mutating func join(_ left: Int32, _ right: Int32) {
        if left == CardCachePage.none { first = right } else { pages[Int(left)].next = right }
        if right == CardCachePage.none { last = left } else { pages[Int(right)].previous = left }
    }
}
