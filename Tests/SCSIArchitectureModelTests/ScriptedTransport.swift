import Diagnostics
import ParallelInterface
import Platform
import SCSI
import SCSIArchitectureModel

/// How the next task ends, instead of as the disk would end it.
struct Outcome {
    var response: UInt8 = 2
    var status: UInt8 = 0
    var sense: SenseData?
    /// Nil means all of it.
    var realizedTransferCount: UInt64?

    static let asUsual: Outcome? = nil
    static let busy = Outcome(status: 0x08)
    static let checkConditionWithoutSense = Outcome(status: 0x02)

    static func undelivered(_ status: UInt8) -> Outcome { Outcome(response: 1, status: status) }
    static func sense(_ sense: SenseData) -> Outcome { Outcome(status: 0x02, sense: sense) }
}

/// An HBA whose disk has no medium: every READ and WRITE succeeds, unless the script says how it ends.
///
/// Each submission is answered before `submit` returns, in one batch.
final class ScriptedTransport: SCSITaskTransport, @unchecked Sendable {
    // SAFETY: tests drive it from one thread.
    let tasks: UnsafeMutablePointer<SCSITask>
    let laneCount = 2
    let tasksPerLane = 8
    let arena: DataArena
    let constraints = HBAConstraints()
    let disk: DirectAccessTarget
    /// Every task as it was sent, and the first bytes of its data-out.
    var sent: [SCSITask] = []
    var parameterLists: [[UInt8]] = []
    var submissionSizes: [Int] = []
    /// The outcomes of the next tasks, in order; nil, and no entry, mean the disk's own answer.
    var script: [Outcome?] = []
    /// What REQUEST SENSE brings.
    var pendingSense = SenseData.none
    /// Operation codes that the disk refuses, each with a flags or page byte.
    var refused: Set<[UInt8]> = []
    private var owner: (any SCSITaskOwner)?

    init(change: (inout DiskTraits) -> Void = { _ in }) throws {
        var traits = DiskTraits()
        traits.blockCount = 1 << 20
        traits.serialNumber = "S-1"
        change(&traits)
        disk = DirectAccessTarget(traits: traits)
        arena = try DataArena(byteCount: 1 << 20)
        tasks = .allocate(capacity: laneCount * tasksPerLane)
        tasks.initialize(repeating: SCSITask(), count: laneCount * tasksPerLane)
    }

    deinit { tasks.deallocate() }

    /// The commands that were sent, by name.
    var names: [String] { sent.map { CommandDescriptorBlock(bytes: $0.cdb, byteCount: $0.cdbSize).name } }

    /// A sent command's bytes in hexadecimal.
    func command(_ index: Int) -> String {
        CommandDescriptorBlock(bytes: sent[index].cdb, byteCount: sent[index].cdbSize).description
    }

    func forget() {
        sent = []
        parameterLists = []
        submissionSizes = []
    }

    func attach(_ owner: any SCSITaskOwner, at address: UnitAddress) { self.owner = owner }
    func makeLane() throws -> Int { 0 }
    func releaseLane(_ lane: Int) {}
    func hasOutstandingWork(lane: Int) -> Bool { false }
    func wait(lane: Int, orReadable descriptor: Int32) {}
    func wait(forAnswer event: OneShotEvent, to command: String, taskIndex: TaskIndex) -> Bool {
        event.wait()
        return true
    }
    let log = DiagnosisLog { _ in }
    var hasMapper = true
    let pageByteCount: UInt64 = 16384

    func submit(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        submissionSizes.append(taskIndices.count)
        for taskIndex in taskIndices { answer(tasks + Int(taskIndex)) }
        owner?.tasksCompleted(taskIndices, lane: lane)
    }

    private func answer(_ task: UnsafeMutablePointer<SCSITask>) {
        sent.append(task.pointee)
        let count = task.pointee.direction == .none ? 0 : Int(task.pointee.requestedTransferCount)
        let data = UnsafeMutableRawBufferPointer(start: count == 0 ? nil : task.pointee.buffer, count: count)
        parameterLists.append(task.pointee.direction == .initiatorToTarget ? Array(data.prefix(24)) : [])
        let scripted = script.isEmpty ? nil : script.removeFirst()
        end(task, scripted ?? execute(task, data))
    }

    private func end(_ task: UnsafeMutablePointer<SCSITask>, _ outcome: Outcome) {
        task.pointee.serviceResponse = outcome.response
        task.pointee.taskStatus = outcome.status
        task.pointee.realizedTransferCount = outcome.realizedTransferCount ?? task.pointee.requestedTransferCount
        task.pointee.senseByteCount = outcome.sense == nil ? 0 : 18
        if let sense = outcome.sense { task.pointee.sense = sense.fixedFormat }
    }

    private func execute(_ task: UnsafeMutablePointer<SCSITask>, _ data: UnsafeMutableRawBufferPointer) -> Outcome {
        let cdb = CommandDescriptorBlock(bytes: task.pointee.cdb, byteCount: task.pointee.cdbSize)
        if refused.contains([cdb.bytes[0], cdb.bytes[2]]) { return .sense(.invalidFieldInCDB) }
        if cdb.operationCode == .requestSense {
            let bytes = pendingSense.fixedFormat
            for index in 0..<min(18, data.count) { data[index] = bytes[index] }
            return Outcome()
        }
        switch disk.action(for: cdb, logicalUnit: task.pointee.logicalUnit, data: data) {
        case .checkCondition(let sense): return .sense(sense)
        case .respond(let byteCount): return Outcome(realizedTransferCount: UInt64(byteCount))
        default: return Outcome()
        }
    }
}

/// Notes how stages ended, a batch at a time.
final class StageRecorder: BlockStageOwner, @unchecked Sendable {
    // SAFETY: tests drive it from one thread.
    var batches: [[StageCompletion]] = []
    var completions: [StageCompletion] { batches.flatMap { $0 } }

    func stagesCompleted(_ completions: UnsafeBufferPointer<StageCompletion>, lane: Int) {
        batches.append(Array(completions))
    }
}

/// A probed disk over a `ScriptedTransport`, with nothing sent yet.
struct DiskFixture {
    let transport: ScriptedTransport
    let disk: BlockCommandsDevice
    let recorder = StageRecorder()

    init(change: (inout DiskTraits) -> Void = { _ in }) throws {
        transport = try ScriptedTransport(change: change)
        disk = try BlockCommandsDevice(transport: transport, address: UnitAddress(targetID: 3))
        try disk.probe()
        disk.setOwner(recorder)
        transport.forget()
    }

    func submit(_ stages: BlockStage...) { submit(stages) }

    func submit(_ stages: [BlockStage]) {
        for stage in stages { disk.prepare(stage) }
        stages.map(\.taskIndex).withUnsafeBufferPointer { disk.submit($0, lane: 0) }
    }

    /// Sends one read of two blocks with these outcomes.
    func read(ending script: Outcome?...) {
        transport.script = script
        submit(BlockStage(taskIndex: 1, operation: .read, lba: 7, blockCount: 2, buffer: transport.arena.base))
    }
}
