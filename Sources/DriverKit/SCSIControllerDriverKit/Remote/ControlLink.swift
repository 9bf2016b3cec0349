import CDriverKit
import Glibc
import Platform

/// The questions over a control link. Raw values are the numbers in packets.
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
    // The driver asks the kernel.
    case changeProperties
    case mediaChanged
    case publish
    case readConfiguration
    case writeConfiguration
    case registerByteCount
    // The kernel asks the driver.
    case tryUserClient
}

/// One packet on a control link: a question or its answer.
package struct ControlMessage: Sendable {
    /// Numbers whose meaning depends on the call.
    package var numbers: [UInt64]
    /// Content other than numbers: a dictionary, a text.
    package var payload: [UInt8] = []
    /// An answer's kern_return_t.
    package var status: kern_return_t = kIOReturnSuccess
    /// An open file in the packet, or -1. Its receiver owns it.
    package var descriptor: Int32 = -1

    package init(_ numbers: [UInt64] = [], payload: [UInt8] = [], status: kern_return_t = kIOReturnSuccess) {
        self.numbers = numbers
        self.payload = payload
        self.status = status
    }

    /// A number; 0 when the other side did not send it.
    package subscript(_ index: Int) -> UInt64 { index < numbers.count ? numbers[index] : 0 }
}

/// Questions and answers between two processes: the calls of the control plane.
///
/// Each side may ask at any time, even while it answers. Questions are answered on threads of their own, up to 16 at a
/// time, so an answer may take any time. A side that asks without end, or does not read its answers, ends the link.
///
/// Threads: any.
package final class ControlLink: @unchecked Sendable {
    // SAFETY: the variables are touched only under `lock`; the handlers are set before `start`.

    private struct Header: BitwiseCopyable {
        var call: UInt32
        var isAnswer: UInt32
        var id: UInt64
        var status: Int32
        var numberCount: UInt32
        var numbers: InlineArray<6, UInt64>
    }

    private final class Question {
        let event = OneShotEvent()
        var answer: ControlMessage?
    }

    private static let packetByteCountMax = 1 << 16
    /// The most questions of the other side that are answered at a time.
    package static let answerThreadCountMax = 16
    /// The most questions of the other side that wait for an answering thread. One more ends the link.
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
        // Packets are sent under the lock, so a sender must not wait for ever for the other side to read.
        var limit = timeval(tv_sec: Self.sendSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let thread = try OSThread(name: "control") { [self] in receive() }
        thread.detach()
    }

    /// Asks a question and waits for the answer.
    /// - Parameter limitMilliseconds: how long to wait; nil means for ever.
    /// - Returns: the answer; nil when the other side is gone or did not answer in time.
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

    /// Ends the link. Threads that wait for an answer go on without one.
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

    /// Parses a packet of the other side.
    /// - Returns: nil when it is too short or its call is unknown.
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
        // No thread sends any more: `isClosed` is set.
        Glibc.close(socket)
        closed()
    }

    private func answered(_ id: UInt64, _ message: ControlMessage) {
        let question = lock.withLock {
            // The first answer counts; a late one has no question.
            let question = questions.removeValue(forKey: id)
            question?.answer = message
            return question
        }
        question?.event.set()
        if question == nil && message.descriptor >= 0 { Glibc.close(message.descriptor) }
    }

    /// Queues a question, and starts a thread to answer it unless enough of them run.
    /// - Returns: false when too many wait, or there is no thread.
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

    /// Answers waiting questions on the calling thread until none waits.
    private func answerAll() {
        while let question = nextQuestion() {
            let answer = answerer(question.call, question.message)
            if !send(question.call, answer, id: question.id, isAnswer: true) { close() }
            // An answer's file was opened for it.
            if answer.descriptor >= 0 { Glibc.close(answer.descriptor) }
        }
    }

    private func nextQuestion() -> (call: ControlCall, message: ControlMessage, id: UInt64)? {
        lock.withLock {
            // The asking side is gone, and gets no answers.
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
