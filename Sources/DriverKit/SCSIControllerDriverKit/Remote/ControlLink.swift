import CDriverKit
import Glibc
import Platform

/// What is asked over a control link.
package enum ControlCall: UInt32, Sendable {
    // The kernel asks the driver.
    case start = 1
    case initializeController
    case questions
    case mapTasks
    case mapSlots
    case startController
    case managesDevices
    case initializeTarget
    case abortTask
    case logicalUnitReset
    case targetReset
    case stop
    // The driver asks the kernel.
    case reportConstraints
    case createTarget
    case destroyTarget
    case isTargetPresent
    case dataBuffer
    case readRegister
    case allocateMemory
    case claimWindow
    case mapMemory
    case unmapMemory
    case report
    case creationWait
    case breakCreation
    // The kernel asks the driver.
    case waitPicture
}

/// One packet on a control link: a question or its answer.
package struct ControlMessage: Sendable {
    /// Numbers whose meaning depends on the call.
    package var numbers: [UInt64]
    /// What does not fit into numbers: a dictionary, a text.
    package var payload: [UInt8] = []
    /// A kern_return_t, in an answer.
    package var status: kern_return_t = kIOReturnSuccess
    /// An open file that travels along, or -1; its receiver owns it.
    package var descriptor: Int32 = -1

    package init(_ numbers: [UInt64] = [], payload: [UInt8] = [], status: kern_return_t = kIOReturnSuccess) {
        self.numbers = numbers
        self.payload = payload
        self.status = status
    }

    /// A number, 0 when the other side did not send it.
    package subscript(_ index: Int) -> UInt64 { index < numbers.count ? numbers[index] : 0 }
}

/// Questions and answers between two processes: the calls of the control plane.
///
/// Each side may ask at any time, also while it answers. Questions are answered on threads of their own, some at a time, so
/// an answer may take as long as it likes. A side that asks without end, or does not read its answers, ends the link.
///
/// Threads: any.
package final class ControlLink: @unchecked Sendable {
    // SAFETY: what changes is touched under `lock`; the handlers are set before `start`.

    private struct Header: BitwiseCopyable {
        var call: UInt32
        var isAnswer: UInt32
        var id: UInt64
        var status: Int32
        var numberCount: UInt32
        var numbers: InlineArray<6, UInt64>
    }

    private final class Question {
        let event = Event()
        var answer: ControlMessage?
    }

    private static let packetByteCountMax = 1 << 16
    /// Questions of the other side that are answered at a time, and those that wait for that, at most.
    package static let answerThreadCountMax = 16
    package static let waitingCountMax = 240
    private static let sendSeconds = 5
    private let socket: Int32
    private let takesDescriptors: Bool
    private let lock = Lock()
    private var questions: [UInt64: Question] = [:]
    private var lastID: UInt64 = 0
    private var isClosed = false
    private var answerThreadCount = 0
    private var waitingQuestions: [(call: ControlCall, message: ControlMessage, id: UInt64)] = []
    private let answerer: @Sendable (ControlCall, ControlMessage) -> ControlMessage
    private let closed: @Sendable () -> Void

    /// - Parameters:
    ///   - socket: one end of a SOCK_SEQPACKET pair; the link owns it.
    ///   - takesDescriptors: whether the other side may send open files; if not, they are closed at once.
    ///   - answerer: answers the other side's questions, each on a thread of its own.
    ///   - closed: called once, on the link's thread, when the other side is gone.
    package init(
        socket: Int32, takesDescriptors: Bool,
        answerer: @escaping @Sendable (ControlCall, ControlMessage) -> ControlMessage,
        closed: @escaping @Sendable () -> Void
    ) {
        self.socket = socket
        self.takesDescriptors = takesDescriptors
        self.answerer = answerer
        self.closed = closed
    }

    /// Begins to listen.
    package func start() throws {
        // Packets are sent under the lock, so nobody may wait for ever for the other side to read.
        var limit = timeval(tv_sec: Self.sendSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let thread = try OSThread(name: "control") { [self] in receive() }
        thread.detach()
    }

    /// Asks, and waits for the answer.
    /// - Parameter limitMilliseconds: how long to wait; nil means for ever.
    /// - Returns: nil when the other side is gone, or did not answer in time.
    package func ask(
        _ call: ControlCall, _ message: ControlMessage = ControlMessage(), limitMilliseconds: Int? = nil
    ) -> ControlMessage? {
        let question = Question()
        let id: UInt64? = lock.withLock {
            if isClosed { return nil }
            lastID += 1
            questions[lastID] = question
            return lastID
        }
        guard let id else { return nil }
        if !send(call, message, id: id, isAnswer: false) { close() }
        if let limitMilliseconds {
            _ = question.event.wait(milliseconds: limitMilliseconds)
        } else {
            question.event.wait()
        }
        return lock.withLock {
            questions[id] = nil
            return question.answer
        }
    }

    /// Whether the other side is gone, or `close` was called.
    package var hasEnded: Bool { lock.withLock { isClosed } }

    /// Ends the link: whoever waits for an answer goes on without one.
    package func close() {
        let waiting: [Question] = lock.withLock {
            guard !isClosed else { return [] }
            isClosed = true
            // Ends `receive`, which owns the descriptor.
            shutdown(socket, Int32(SHUT_RDWR))
            return Array(questions.values)
        }
        for question in waiting { question.event.set() }
    }

    private func send(_ call: ControlCall, _ message: ControlMessage, id: UInt64, isAnswer: Bool) -> Bool {
        var header = Header(
            call: call.rawValue, isAnswer: isAnswer ? 1 : 0, id: id, status: message.status,
            numberCount: UInt32(message.numbers.count), numbers: .init(repeating: 0))
        for index in message.numbers.indices { header.numbers[index] = message.numbers[index] }
        var bytes = withUnsafeBytes(of: header) { Array($0) }
        bytes += message.payload
        return lock.withLock {
            !isClosed && nbdext_send_packet(socket, bytes, bytes.count, message.descriptor) == bytes.count
        }
    }

    /// Reads a packet that the other side has sent.
    /// - Returns: nil when it is too short, or no call that is known.
    package static func parse(
        _ bytes: ArraySlice<UInt8>
    ) -> (call: ControlCall, isAnswer: Bool, id: UInt64, message: ControlMessage)? {
        guard bytes.count >= MemoryLayout<Header>.size else { return nil }
        let header = bytes.withUnsafeBytes { $0.loadUnaligned(as: Header.self) }
        guard let call = ControlCall(rawValue: header.call) else { return nil }
        let message = ControlMessage(
            (0..<min(Int(header.numberCount), 6)).map { header.numbers[$0] },
            payload: Array(bytes.dropFirst(MemoryLayout<Header>.size)), status: header.status)
        return (call, header.isAnswer != 0, header.id, message)
    }

    private func receive() {
        var bytes = [UInt8](repeating: 0, count: Self.packetByteCountMax)
        while true {
            var descriptor: Int32 = -1
            let count = nbdext_receive_packet(socket, &bytes, bytes.count, &descriptor)
            if descriptor >= 0 && !takesDescriptors {
                Glibc.close(descriptor)
                descriptor = -1
            }
            guard count >= MemoryLayout<Header>.size else {
                if descriptor >= 0 { Glibc.close(descriptor) }
                break
            }
            guard var packet = Self.parse(bytes[..<count]) else {
                if descriptor >= 0 { Glibc.close(descriptor) }
                continue
            }
            packet.message.descriptor = descriptor
            if packet.isAnswer {
                answered(packet.id, packet.message)
            } else if !answer(packet.call, packet.message, id: packet.id) {
                break
            }
        }
        close()
        // Nobody sends any more: `isClosed` is set.
        Glibc.close(socket)
        closed()
    }

    private func answered(_ id: UInt64, _ message: ControlMessage) {
        let question = lock.withLock {
            // The first answer counts; one that comes too late is nobody's.
            let question = questions.removeValue(forKey: id)
            question?.answer = message
            return question
        }
        question?.event.set()
        if question == nil && message.descriptor >= 0 { Glibc.close(message.descriptor) }
    }

    /// Has a question answered, now or when others have been.
    /// - Returns: false when there are too many.
    private func answer(_ call: ControlCall, _ message: ControlMessage, id: UInt64) -> Bool {
        let (mayWait, needsThread) = lock.withLock { () -> (Bool, Bool) in
            guard waitingQuestions.count < Self.waitingCountMax else { return (false, false) }
            waitingQuestions.append((call, message, id))
            let needsThread = answerThreadCount < Self.answerThreadCountMax
            if needsThread { answerThreadCount += 1 }
            return (true, needsThread)
        }
        guard mayWait, needsThread else { return mayWait }
        do {
            try OSThread(name: "answer") { [self] in answerAll() }.detach()
            return true
        } catch {
            return false
        }
    }

    /// Answers what waits, on the calling thread, until nothing does.
    private func answerAll() {
        while let question = nextQuestion() {
            let answer = answerer(question.call, question.message)
            if !send(question.call, answer, id: question.id, isAnswer: true) { close() }
            // A file in an answer was made for it.
            if answer.descriptor >= 0 { Glibc.close(answer.descriptor) }
        }
    }

    private func nextQuestion() -> (call: ControlCall, message: ControlMessage, id: UInt64)? {
        lock.withLock {
            // Whoever has asked is gone, and hears no answer.
            if isClosed { dropQuestions() }
            if !waitingQuestions.isEmpty { return waitingQuestions.removeFirst() }
            answerThreadCount -= 1
            return nil
        }
    }

    private func dropQuestions() {
        for question in waitingQuestions where question.message.descriptor >= 0 {
            Glibc.close(question.message.descriptor)
        }
        waitingQuestions = []
    }
}
