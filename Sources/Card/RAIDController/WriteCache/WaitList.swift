/// A queue of waiting commands. All queues of a cache share one array of links, since a command waits in one queue at a
/// time.
struct WaitList: BitwiseCopyable {
    private static let none = UInt32.max
    private var first = WaitList.none
    private var last = WaitList.none

    var isEmpty: Bool { first == Self.none }

    mutating func append(_ number: UInt32, links: UnsafeMutablePointer<UInt32>) {
        assert(number != last || isEmpty, "the command waits already")
        links[Int(number)] = Self.none
        if isEmpty { first = number } else { links[Int(last)] = number }
        last = number
    }

    mutating func prepend(_ number: UInt32, links: UnsafeMutablePointer<UInt32>) {
        assert(number != first, "the command waits already")
        links[Int(number)] = first
        if isEmpty { last = number }
        first = number
    }

    mutating func popFirst(links: UnsafeMutablePointer<UInt32>) -> UInt32? {
        guard !isEmpty else { return nil }
        let number = first
        first = links[Int(number)]
        return number
    }
}
