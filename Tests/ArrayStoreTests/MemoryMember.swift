import ArrayStore
import MemberIO
import Members
import Platform
import Synchronization

/// A member in memory, which can be told to fail.
final class MemoryMember: PlacedMember {
    struct State {
        var bytes: [UInt8]
        var failsReads = false
        var failsWrites = false
        /// The system takes no write, as if its memory were none.
        var refusesWrites = false
        /// Blocks of 4 KiB that cannot be read until they are written.
        var unreadable: Set<Int> = []
        var writeCount = 0
        var flushCount = 0
        /// Called before each write.
        var beforeWrite: (@Sendable () -> Void)?
        var loss: MemberLoss?
        /// What it is when it has been lost and can be reached again.
        var successor: MemoryMember?
        /// Shared with other members: when it is used up, every write fails, as in a crash.
        var budget: Budget?
    }

    let name: String
    let state: Mutex<State>

    /// - Parameter place: `.none` when it is not served.
    init(name: String, bytes: [UInt8], place: MemberPlace = .none) {
        self.name = name
        self.place = place
        state = Mutex(State(bytes: bytes))
    }

    let place: MemberPlace
    var count: Int { state.withLock { $0.bytes.count } }
    var byteCount: UInt64 { state.withLock { UInt64($0.bytes.count) } }

    var loss: MemberLoss? { state.withLock { $0.loss } }

    func reconnected() -> (any PlacedMember)? {
        state.withLock { state in
            defer { state.successor = nil }
            return state.successor
        }
    }

    func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        let status: MemberStatus = state.withLock { state in
            let range = Int(byteOffset)..<Int(byteOffset) + memory.count
            guard !state.failsReads, range.upperBound <= state.bytes.count else { return .failed }
            guard state.unreadable.isDisjoint(with: Self.blocks(of: range)) else { return .unreadable }
            state.bytes.withUnsafeBytes { memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
            return .done
        }
        guard status == .done else { throw MemberStoreError(status, "no such luck") }
    }

    private static func blocks(of range: Range<Int>) -> Range<Int> {
        range.lowerBound / 4096..<(range.upperBound + 4095) / 4096
    }

    func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        state.withLock { $0.beforeWrite }?()
        guard !state.withLock({ $0.refusesWrites }) else { throw MemberStoreError(.refused, "Bad address") }
        let isDone = state.withLock { state in
            guard !state.failsWrites, state.budget?.take() != false else { return false }
            state.writeCount += 1
            let range = Int(byteOffset)..<Int(byteOffset) + memory.count
            state.bytes.replaceSubrange(range, with: memory)
            state.unreadable.subtract(Self.blocks(of: range))
            return true
        }
        guard isDone else { throw MemberStoreError(.failed, "no such luck") }
    }

    func flush() throws(MemberStoreError) { state.withLock { $0.flushCount += 1 } }

    func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? {
        byteOffset < byteCount ? byteOffset : nil
    }
}

/// Collects what an array reports.
final class Messages: Sendable {
    private let list = Mutex<[String]>([])

    var all: [String] { list.withLock { $0 } }
    var last: String? { all.last }

    /// The start that arrays are opened for.
    let startUp = StartUp()

    /// A clock that stands still, and this.
    var environment: ArrayStore.Environment {
        ArrayStore.Environment(
            clock: { 1_700_000_000 }, report: { message, _ in self.list.withLock { $0.append(message) } },
            startUp: startUp)
    }
}

/// A number of writes.
final class Budget: Sendable {
    private let rest: Mutex<Int>

    init(_ count: Int) { rest = Mutex(count) }

    func take() -> Bool {
        rest.withLock { rest in
            rest -= 1
            return rest >= 0
        }
    }
}
