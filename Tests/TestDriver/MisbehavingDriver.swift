// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDriverKit
import CLinux
import Glibc
import RAIDControllerInterface
import RAIDDriver
import SCSIControllerDriverKit

/// The reference driver with one bad habit, which its personality ("Habit") or the program's argument names. With
/// "Once", only the first process of a server has it.
final class MisbehavingDriver: RAIDDriver, @unchecked Sendable {
    // SAFETY: set in Start; the habit's own thread uses only what does not change.
    private var habit = ""
    private var calls = 0

    override func Start(_ provider: IOService) -> kern_return_t {
        let status = super.Start(provider)
        var properties: OSDictionary?
        _ = CopyProperties(&properties)
        var habit = CommandLine.arguments.dropFirst().first ?? ""
        if case .string(let name)? = properties?["Habit"] { habit = name }
        if properties?["Once"] != nil && !Self.isFirst() { return status }
        self.habit = habit
        // It is meant to crash sooner or later, also of the garbage that it has written: nobody needs to read of that.
        if !habit.isEmpty { _ = dup2(open("/dev/null", O_WRONLY), STDERR_FILENO) }
        return status
    }

    /// Whether no driver's process of this server has asked before. The last page of the arena is nobody's, and
    /// outlives them.
    private static func isFirst() -> Bool {
        let byteCount = Int(String(cString: getenv("NBDEXT_DRIVER_ARENA")))!
        let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 5, off_t(byteCount - 4096))!
        defer { munmap(page, 4096) }
        defer { page.storeBytes(of: 1, as: UInt8.self) }
        return page.load(as: UInt8.self) == 0
    }

    override func UserInitializeController() -> kern_return_t {
        if habit == "hang" { while true { sleep(1000) } }
        return super.UserInitializeController()
    }

    override func UserStartController() -> kern_return_t {
        if habit == "exit" { exit(3) }
        return super.UserStartController()
    }

    override func Stop(_ provider: IOService) -> kern_return_t {
        if habit == "stay" { while true { sleep(1000) } }
        return super.Stop(provider)
    }

    override func UserProcessBundledParallelTasks(
        _ parallelRequestIndices: UnsafePointer<UInt16>, _ parallelRequestIndicesCount: UInt16, _ completion: OSAction
    ) {
        if habit == "mute" || habit == "deaf" && calls >= 20 { return }
        if habit == "no-data" && calls >= 20 {
            return answerReads(parallelRequestIndices, parallelRequestIndicesCount, completion)
        }
        super.UserProcessBundledParallelTasks(parallelRequestIndices, parallelRequestIndicesCount, completion)
        calls += 1
        if calls == 20 { begin() }
    }

    /// Answers reads with GOOD, and does not give them to the card.
    private func answerReads(_ indices: UnsafePointer<UInt16>, _ count: UInt16, _ completion: OSAction) {
        for place in 0..<Int(count) {
            var slot = indices[place]
            let task = commands[Int(slot)]
            guard task.fTransferDirection == kSCSIDataTransfer_FromTargetToInitiator else {
                super.UserProcessBundledParallelTasks(&slot, 1, completion)
                continue
            }
            responses[Int(slot)] = SCSIUserParallelResponse()
            responses[Int(slot)].version = kScsiUserParallelTaskResponseCurrentVersion1
            responses[Int(slot)].fTargetID = task.fTargetID
            responses[Int(slot)].fControllerTaskIdentifier = task.fControllerTaskIdentifier
            responses[Int(slot)].fServiceResponse = kSCSIServiceResponse_TASK_COMPLETE
            responses[Int(slot)].fCompletionStatus = kSCSITaskStatus_GOOD
            responses[Int(slot)].fBytesTransferred = task.fRequestedTransferCount
            BundledParallelTaskCompletion(bundledAction!, &slot, 1)
        }
    }

    override func UserInitializeTargetForID(_ targetID: SCSIDeviceIdentifier) -> kern_return_t {
        if habit == "keep-target" { while true { sleep(1000) } }
        return super.UserInitializeTargetForID(targetID)
    }

    override func UserDoesHBAPerformDeviceManagement(_ result: inout Bool) -> kern_return_t {
        result = habit != "keep-target"
        return kIOReturnSuccess
    }

    override func createTargets() {
        if habit != "keep-target" { super.createTargets() }
    }

    override func UserProcessParallelTask(
        _ parallelRequest: SCSIUserParallelTask, _ response: inout UInt32, _ completion: OSAction
    ) -> kern_return_t {
        let status = super.UserProcessParallelTask(parallelRequest, &response, completion)
        calls += 1
        // The task is completed on another queue, and the call never returns.
        if habit == "no-reply" && calls > 40 { while true { sleep(1000) } }
        return status
    }

    private func begin() {
        switch habit {
        case "recreate": for _ in 0..<3 { repeatedly { $0.recreate() } }
        case "fork": for _ in 0..<3 { startAnother() }
        case "trap": fatalError("a habit")
        case "garbage": repeatedly { $0.writeGarbage() }
        case "registers": repeatedly { $0.writeRegisters() }
        case "slots": repeatedly { $0.completeForeignSlots() }
        case "messages": attack { $0.sendImpossibleMessages() }
        case "files": repeatedly { $0.sendFiles() }
        case "commands": repeatedly { $0.sendCommands() }
        case "own-memory": attack { $0.leaveCommandsBehind() }
        case "remap": attack { $0.remap() }
        case "foreign-windows": attack { $0.useForeignWindows() }
        default: break
        }
    }

    private func repeatedly(_ body: @escaping @Sendable (MisbehavingDriver) -> Void) {
        IODispatchQueue.make("Habit").DispatchAsync { [self] in
            while true { body(self) }
        }
    }

    /// Once, beside the driver's own work.
    private func attack(_ body: @escaping @Sendable (MisbehavingDriver) -> Void) {
        IODispatchQueue.make("Attack").DispatchAsync { [self] in body(self) }
    }

    // MARK: Habits

    /// Takes its target away and creates it again, while it is in use.
    private func recreate() {
        _ = UserDestroyTargetForID(0)
        _ = UserCreateTargetForID(0, [:])
        usleep(.random(in: 0...500))
    }

    /// A process that lives on when the driver is gone, with all that it has open.
    private func startAnother() {
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
        var environment: [UnsafeMutablePointer<CChar>?] = [nil]
        var process: pid_t = 0
        for descriptor: Int32 in 3...5 { _ = fcntl(descriptor, F_SETFD, 0) }
        posix_spawnp(&process, "sleep", nil, nil, &arguments, &environment)
    }

    /// Into everything that can be written: all rings of the channel with their indices, and response slots.
    private func writeGarbage() {
        withChannel { channel in
            for _ in 0..<20_000 {
                let offset = Int.random(in: 0..<channel.count / 4) * 4
                channel.storeBytes(of: .random(in: 0...255), toByteOffset: offset, as: UInt32.self)
                (UnsafeMutableRawPointer(responses!) + Int.random(in: 0..<4096) / 4 * 4).storeBytes(
                    of: .random(in: 0 ... .max), as: UInt32.self)
            }
            let pair = UInt32.random(in: 0..<nbdext_channel_pair_count(channel.count))
            let ring = nbdext_channel_to_kernel(channel.baseAddress, pair)
            nbdext_ring_set_indices(ring, .random(in: 0 ... .max), .random(in: 0 ... .max))
        }
    }

    /// Maps all rings of the channel, beside the library's own mapping.
    private func withChannel(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
        var status = stat()
        fstat(4, &status)
        let byteCount = Int(status.st_size)
        guard let channel = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, 4, 0), channel != MAP_FAILED
        else { return }
        body(UnsafeMutableRawBufferPointer(start: channel, count: byteCount))
        munmap(channel, byteCount)
    }

    private func writeRegisters() {
        // Not the test of the interrupt line, which would be answered with as many interrupts.
        let registers = (0..<12).map { UInt64($0 * 4) } + [0x34, 0x1000, 0xFFFF_FFFC, .max]
        let values: [UInt32] = [0, 1, 3, 1 << 10, 1 << 31, .max, .random(in: 0 ... .max)]
        provider.MemoryWrite32(0, registers.randomElement()!, values.randomElement()!)
    }

    private func completeForeignSlots() {
        var indices = (0..<32).map { _ in UInt16.random(in: 0 ... .max) >> UInt16.random(in: 0...12) }
        BundledParallelTaskCompletion(bundledAction!, &indices, 32)
    }

    /// Messages that no library sends: completions of more slots than a message names, of none, and of a slot whose
    /// number is larger than any.
    private func sendImpossibleMessages() {
        withChannel { channel in
            let ring = nbdext_channel_to_kernel(channel.baseAddress, nbdext_channel_pair_count(channel.count) - 1)
            for (kind, count, value) in [
                (NBDEXT_BUNDLED_COMPLETION, 1000, 0), (NBDEXT_BUNDLED_COMPLETION, 0, 0),
                (NBDEXT_LEGACY_COMPLETION, 1, 1 << 40),
            ] {
                guard let message = nbdext_ring_begin(ring) else { return }
                memset(message, 0xFF, MemoryLayout<nbdext_message>.size)
                message.pointee.kind = kind.rawValue
                message.pointee.count = UInt32(count)
                message.pointee.value = UInt64(value)
                _ = nbdext_ring_publish(ring)
            }
        }
    }

    private static let unwanted = nbdext_memfd("nbdext-unwanted", 4096)

    /// Packets that no library sends, with open files that the server never asked for.
    private func sendFiles() {
        var packet = (0..<Int.random(in: 72...200)).map { _ in UInt8.random(in: 0...255) }
        // A call that does not exist, a question that nobody put, or an answer to one.
        packet[0] = .random(in: 0...40)
        for index in 1..<8 { packet[index] = index == 4 ? .random(in: 0...1) : 0 }
        if packet[4] == 0 { packet[0] = 200 }
        _ = nbdext_send_packet(3, &packet, packet.count, Self.unwanted)
    }

    /// Commands that ask for what there is not: 2^63 bytes, other tasks' memory, more than the card can hold.
    private func sendCommands() {
        var descriptor: IOBufferMemoryDescriptor?
        var map: IOMemoryMap?
        var command: IODMACommand?
        var segment = IOAddressSegment(address: 0, length: 0)
        guard
            IOBufferMemoryDescriptor.Create(0, 1 << 17, 4096, &descriptor) == kIOReturnSuccess,
            descriptor!.CreateMapping(0, 0, 0, 0, 0, &map) == kIOReturnSuccess,
            IODMACommand.Create(provider, 0, .any, &command) == kIOReturnSuccess,
            command!.prepare(descriptor!, &segment) == kIOReturnSuccess
        else { return }
        let base = UnsafeMutableRawPointer(bitPattern: UInt(map!.GetAddress()))!
        let ring = base.assumingMemoryBound(to: RAIDCommandDescriptor.self)
        for index in 0..<1024 {
            var descriptor = RAIDCommandDescriptor()
            descriptor.targetID = .random(in: 0...2)
            descriptor.cdbSize = [0, 6, 10, 16, 255].randomElement()!
            // TEST UNIT READY, INQUIRY, READ(10), MODE SENSE(10), SYNCHRONIZE CACHE(10), VERIFY(10): nothing that
            // writes.
            descriptor.cdb[0] = [0x00, 0x12, 0x28, 0x5A, 0x35, 0x2F].randomElement()!
            for byte in 5..<16 { descriptor.cdb[byte] = .random(in: 0...255) }
            descriptor.dataAddress = [0, segment.address + 65536, segment.address &- 1, .max].randomElement()!
            descriptor.dataByteCount = [0, 512, 65536, 1 << 40, 1 << 63, .max].randomElement()!
            descriptor.direction = .random(in: 0...3)
            ring[index] = descriptor
        }
        func write(_ register: Int, _ value: UInt32) { provider.MemoryWrite32(0, UInt64(register), value) }
        write(RAIDControllerRegister.submissionBaseLow, UInt32(truncatingIfNeeded: segment.address))
        write(RAIDControllerRegister.submissionBaseHigh, UInt32(truncatingIfNeeded: segment.address >> 32))
        write(RAIDControllerRegister.control, RAIDControllerRegister.controlEnable)
        // Forwards, and back.
        for tail: UInt32 in [1000, 1024, 500, 1024, 2048] { write(RAIDControllerRegister.submissionTail, tail) }
        for tail in stride(from: UInt32(2048), to: 60_000, by: 100) {
            write(RAIDControllerRegister.submissionTail, tail)
        }
        write(RAIDControllerRegister.control, RAIDControllerRegister.controlEnable)
        _ = command!.CompleteDMA(0)
    }
}

extension IODispatchQueue {
    /// A queue that exists.
    static func make(_ name: String) -> IODispatchQueue {
        var queue: IODispatchQueue?
        _ = IODispatchQueue.Create(name, 0, 0, &queue)
        return queue!
    }
}
