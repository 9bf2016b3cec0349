import Glibc
import Platform
import TestTraits
import Testing

@Suite("The epoll instance that can be signalled", .blocks)
struct WakeableEpollTests {
    private func isReadable(_ epoll: WakeableEpoll) -> Bool {
        var polled = pollfd(fd: epoll.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&polled, 1, 0) == 1
    }

    @Test("it is readable from a signal until it is cleared")
    func signal() throws {
        let epoll = try WakeableEpoll()
        #expect(!isReadable(epoll))
        epoll.signal()
        epoll.signal()
        epoll.wait()
        #expect(isReadable(epoll))
        epoll.clear()
        #expect(!isReadable(epoll))
    }

    @Test("it watches another descriptor while it is told to")
    func watch() throws {
        let epoll = try WakeableEpoll()
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        _ = epoll.watch(ends[0])
        #expect(!isReadable(epoll))
        var byte: UInt8 = 1
        #expect(write(ends[1], &byte, 1) == 1)
        epoll.wait()
        _ = epoll.watch(-1)
        #expect(!isReadable(epoll))
        _ = epoll.watch(ends[0])
        #expect(isReadable(epoll))
    }
}
