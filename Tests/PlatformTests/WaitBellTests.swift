import Glibc
import Platform
import TestTraits
import Testing

@Suite("The bell to wait for", .blocks)
struct WaitBellTests {
    private func isReadable(_ bell: WaitBell) -> Bool {
        var polled = pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&polled, 1, 0) == 1
    }

    @Test("it rings until it is silenced")
    func ring() throws {
        let bell = try WaitBell()
        #expect(!isReadable(bell))
        bell.ring()
        bell.ring()
        bell.wait()
        #expect(isReadable(bell))
        bell.silence()
        #expect(!isReadable(bell))
    }

    @Test("it watches another descriptor while it is told to")
    func watch() throws {
        let bell = try WaitBell()
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        _ = bell.watch(ends[0])
        #expect(!isReadable(bell))
        var byte: UInt8 = 1
        #expect(write(ends[1], &byte, 1) == 1)
        bell.wait()
        _ = bell.watch(-1)
        #expect(!isReadable(bell))
        _ = bell.watch(ends[0])
        #expect(isReadable(bell))
    }
}
