import Glibc

/// The descriptors of this process, for exit tests: the limit is the process's.
package enum Descriptors {
    private static let numbers: Range<Int32> = 0..<1024

    private static var used: Set<Int32> { Set(numbers.filter { fcntl($0, F_GETFD) >= 0 }) }

    /// Lets the process have so many more descriptors; nil for as many as it likes.
    private static func allow(_ count: Int?) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let used = used
        let free = numbers.filter { !used.contains($0) }
        limit.rlim_cur = rlim_t(count.map { free[$0] } ?? numbers.upperBound)
        precondition(
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0,
            "the limit of descriptors cannot be set")
    }

    /// Calls `body` with no descriptor left, with one, and so on until it does not fail. Traps unless each call leaves
    /// the descriptors as they were.
    package static func failOneByOne(_ body: () throws -> Void) {
        let before = used
        var count = 0
        while true {
            allow(count)
            let succeeded = (try? body()) != nil
            allow(nil)
            precondition(used == before, "descriptors were lost when \(count) were allowed")
            if succeeded { return precondition(count > 0, "nothing takes a descriptor") }
            count += 1
        }
    }
}
