import CDriverKit
import CLinux
import Glibc
import Platform
import SCSIControllerDriverKit
import Synchronization
import TestTraits
import Testing

/// How many of this process's open files have a name with this in it. Other tests open files at the same time.
func openFileCount(named part: String) -> Int {
    guard let files = try? Directory.names(in: "/proc/self/fd") else { return -1 }
    return files.count { linkTarget("/proc/self/fd/\($0)").contains(part) }
}

/// Where a symbolic link points to, or nothing.
func linkTarget(_ path: String) -> String {
    var name = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &name, name.count)
    return String(decoding: name.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

@Suite("The control link", .serialized, .blocks)
struct ControlLinkTests {
    private static func sockets() -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        precondition(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | 0o2000000, 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    /// Two links that are connected.
    private static func pair(
        left: @escaping @Sendable (ControlCall, ControlMessage) -> ControlMessage = { _, message in message },
        right: @escaping @Sendable (ControlCall, ControlMessage) -> ControlMessage = { _, message in message },
        rightTakesDescriptors: Bool = true, closed: @escaping @Sendable () -> Void = {}
    ) throws -> (ControlLink, ControlLink) {
        let (one, other) = sockets()
        let links = (
            ControlLink(socket: one, takesDescriptors: true, answerer: left, closed: closed),
            ControlLink(socket: other, takesDescriptors: rightTakesDescriptors, answerer: right, closed: closed)
        )
        try links.0.start()
        try links.1.start()
        return links
    }

    @Test("both sides ask at once, and each gets its own answers")
    func bothSides() throws {
        let (left, right) = try Self.pair(
            left: { ControlMessage([$1[0] + 1], payload: $1.payload) },
            right: { ControlMessage([$1[0] + 2], payload: $1.payload, status: kIOReturnNoMemory) })
        let wrong = Atomic<Int>(0)
        let finished = (0..<8).map { _ in OneShotEvent() }
        for (thread, event) in finished.enumerated() {
            let isLeft = thread % 2 == 0
            let link = isLeft ? left : right
            try OSThread(name: "asker") {
                for number in 0..<UInt64(200) {
                    let payload = [UInt8](repeating: UInt8(thread), count: Int(number) * 10)
                    let answer = link.ask(.report, ControlMessage([number], payload: payload))
                    let isRight =
                        answer?[0] == number + (isLeft ? 2 : 1) && answer?.payload == payload
                        && answer?.status == (isLeft ? kIOReturnNoMemory : kIOReturnSuccess)
                    if !isRight { wrong.add(1, ordering: .relaxed) }
                }
                event.set()
            }.detach()
        }
        for event in finished { #expect(event.comes()) }
        #expect(wrong.load(ordering: .relaxed) == 0)
        left.close()
    }

    @Test("who waits for a side that goes away gets no answer, and both hear of it")
    func goneWhileWaiting() throws {
        let closed = Atomic<Int>(0)
        let isAsked = OneShotEvent()
        let mayAnswer = OneShotEvent()
        let (left, right) = try Self.pair(
            right: { _, message in
                isAsked.set()
                mayAnswer.wait()
                return message
            }, closed: { closed.add(1, ordering: .relaxed) })
        let answered = OneShotEvent()
        try OSThread(name: "asker") {
            #expect(left.ask(.start) == nil)
            answered.set()
        }.detach()
        isAsked.wait()
        right.close()
        #expect(answered.comes())
        #expect(left.ask(.start) == nil)
        #expect(eventually { closed.load(ordering: .relaxed) == 2 })
        mayAnswer.set()
    }

    @Test("an answer that takes too long is none, and comes to nothing later")
    func tooLate() throws {
        let (left, _) = try Self.pair(right: { call, message in
            if call == .start { usleep(100_000) }
            return message
        })
        #expect(left.ask(.start, ControlMessage([1]), limitMilliseconds: 20) == nil)
        usleep(120_000)
        #expect(left.ask(.stop, ControlMessage([2]))?[0] == 2)
        left.close()
    }

    @Test("an open file travels along, and nobody keeps a copy", arguments: [true, false])
    func descriptors(areTaken: Bool) throws {
        let file = nbdext_memfd("link-\(areTaken)", 1)
        defer { close(file) }
        let (left, right) = try Self.pair(
            right: { _, message in
                var status = Glibc.stat()
                let isOpen = message.descriptor >= 0 && fstat(message.descriptor, &status) == 0
                if message.descriptor >= 0 { close(message.descriptor) }
                return ControlMessage([isOpen ? 1 : 0])
            }, rightTakesDescriptors: areTaken)
        for _ in 0..<50 {
            var message = ControlMessage()
            message.descriptor = file
            #expect(left.ask(.mapSlots, message)?[0] == (areTaken ? 1 : 0))
        }
        left.close()
        right.close()
        #expect(eventually { openFileCount(named: "link-\(areTaken)") == 1 })
    }

    @Test("files that came with packets that mean nothing are closed")
    func unwantedFiles() throws {
        let file = nbdext_memfd("link-unwanted", 1)
        defer { close(file) }
        let (one, other) = Self.sockets()
        let link = ControlLink(
            socket: one, takesDescriptors: true, answerer: { _, message in message }, closed: {})
        try link.start()
        var packet = [UInt8](repeating: 0, count: 72)
        for (call, isAnswer): (UInt8, UInt8) in [(200, 0), (1, 1), (200, 1)] {
            packet[0] = call
            packet[4] = isAnswer
            for _ in 0..<20 { #expect(nbdext_send_packet(other, packet, packet.count, file) == 72) }
        }
        // Too short to be a packet: that is the end.
        #expect(nbdext_send_packet(other, packet, 3, file) == 3)
        close(other)
        #expect(eventually { openFileCount(named: "link-unwanted") == 1 })
    }

    @Test("a side that asks without end is cut off, and few of its questions are answered at a time")
    func tooManyQuestions() throws {
        let mayAnswer = OneShotEvent()
        let asked = Atomic<Int>(0)
        let closed = OneShotEvent()
        let (one, other) = Self.sockets()
        let link = ControlLink(
            socket: one, takesDescriptors: false,
            answerer: { _, message in
                asked.add(1, ordering: .relaxed)
                mayAnswer.wait()
                return message
            }, closed: { closed.set() })
        try link.start()
        var packet = [UInt8](repeating: 0, count: 72)
        packet[0] = 1
        for _ in 0..<1000 { _ = nbdext_send_packet(other, packet, packet.count, -1) }
        #expect(closed.comes())
        #expect(asked.load(ordering: .relaxed) <= ControlLink.answerThreadCountMax)
        mayAnswer.set()
        // Those that waited are answered to nobody.
        usleep(50_000)
        #expect(asked.load(ordering: .relaxed) <= ControlLink.answerThreadCountMax)
        close(other)
    }
}
