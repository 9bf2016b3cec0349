import CLinux
import Glibc
import NBDServer
import Platform
import Synchronization
import TestTraits
import Testing

@Suite("Accepting clients", .blocks)
struct AcceptorTests {
    /// What accept(2) does: fails so often, then works.
    private final class Failing: Sendable {
        private let left: Mutex<[Int32]>
        let attempts = Atomic<Int>(0)
        init(_ errors: [Int32]) { left = Mutex(errors) }

        func accept(_ descriptor: Int32) -> Int32 {
            attempts.add(1, ordering: .relaxed)
            let error = left.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            return error.map { -$0 } ?? nbdext_accept(descriptor)
        }
    }

    private static let errors: [[Int32]] = [
        [EMFILE, EMFILE, EMFILE], [ENFILE, ENOMEM, ENOBUFS], [EPERM, EPERM], [ECONNABORTED], [EPROTO, EPROTO],
        [ENETDOWN, EHOSTUNREACH, EOPNOTSUPP], [EINVAL, EBADF, EIO],
    ]

    @Test("goes on after every error", arguments: errors.indices)
    func goesOn(index: Int) throws {
        let path = "/tmp/nbdext-accept-\(getpid())-\(index).sock"
        let failing = Failing(Self.errors[index])
        let accepted = OneShotEvent()
        let acceptor = try Acceptor(
            [Listener(.unix(path: path))], of: "clients", accept: { failing.accept($0) },
            take: {
                close($0)
                accepted.set()
            })
        let client = RawClient(path: path)
        accepted.wait()
        acceptor.stop()
        #expect(client.isClosed)
        #expect(failing.attempts.load(ordering: .relaxed) > Self.errors[index].count)
        #expect(access(path, F_OK) != 0)
    }

    @Test("ends when it is told to, also while no client can be accepted, and rests between attempts")
    func stop() throws {
        let path = "/tmp/nbdext-accept-\(getpid())-stop.sock"
        let failing = Failing(Array(repeating: EMFILE, count: 1_000_000))
        let acceptor = try Acceptor(
            [Listener(.unix(path: path))], of: "clients", accept: { failing.accept($0) }, take: { close($0) })
        let client = RawClient(path: path)
        while failing.attempts.load(ordering: .relaxed) < 4 { usleep(1000) }
        acceptor.stop()
        #expect(failing.attempts.load(ordering: .relaxed) < 1000)
        #expect(client.isClosed)
    }
}
