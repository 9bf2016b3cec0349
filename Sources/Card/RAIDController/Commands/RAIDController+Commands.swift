import Glibc
import MemberIO
import RAID
import RAIDControllerInterface
import SCSI

/// From a command to its member I/Os, and back to its completion.
extension RAIDController {
    /// Takes commands from the submission ring and starts them.
    /// - Returns: their number.
    func takeCommands(_ lane: CardLane) -> Int {
        let count = rings.take(into: lane.commands, limit: CardLane.commandBatch)
        if count == 0 { return 0 }
        lane.takenCount.add(UInt64(count), ordering: .relaxed)
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: count) { numbers in
            commands.claim(UnsafeMutableBufferPointer(rebasing: numbers[..<count]))
            var array: ArrayTarget?
            for index in 0..<count {
                let fetched = (lane.commands + index).move()
                let target = self.array(
                    target: fetched.descriptor.targetID, logicalUnit: fetched.descriptor.logicalUnit)
                if array !== target {
                    if let array { flushStaged(lane, array) }
                    target?.hasBeenAsked.store(true, ordering: .relaxed)
                }
                array = target
                begin(fetched, numbers[index], target, lane)
            }
            if let array { flushStaged(lane, array) }
        }
        return count
    }

    /// Decodes a command and starts or answers it.
    private func begin(
        _ fetched: consuming FetchedCommand, _ number: UInt32, _ target: ArrayTarget?, _ lane: CardLane
    ) {
        let command = commands[number]
        let descriptor = fetched.descriptor
        command.pointee = CardCommand(tag: descriptor.tag, epoch: fetched.epoch)
        command.pointee.pin = fetched.pin.take()
        guard let target else { return finishUnreachable(number, lane) }

        let cdb = CommandDescriptorBlock(bytes: descriptor.cdb, byteCount: descriptor.cdbSize)
        let byteCount = descriptor.direction == 0 ? 0 : Int(clamping: descriptor.dataByteCount)
        if byteCount > 0 {
            // The CDB decides the direction, whatever the driver's descriptor says.
            let fillsMemory = !cdb.operationCode.takesData
            let deviceWrites = fillsMemory || descriptor.direction == 2
            let memory = command.pointee.pin?.memory(byteCount: byteCount, deviceWrites: deviceWrites)
            guard let memory else {
                dartFaultHandler?(descriptor.dataAddress, byteCount, deviceWrites)
                return finishUnreachable(number, lane)
            }
            command.pointee.memory = memory
            command.pointee.fillsMemory = fillsMemory
        }
        let action = target.disk.action(
            for: cdb, logicalUnit: descriptor.logicalUnit,
            data: UnsafeMutableRawBufferPointer(start: command.pointee.memory, count: byteCount))
        perform(action, number, target, lane)
    }

    private func perform(_ action: TargetAction, _ number: UInt32, _ target: ArrayTarget, _ lane: CardLane) {
        let command = commands[number]
        switch action {
        case .good: finish(number, lane, sense: nil)
        case .respond(let byteCount):
            command.pointee.dataByteCount = UInt64(byteCount)
            finish(number, lane, sense: nil)
        case .checkCondition(let sense): finish(number, lane, sense: sense)
        case .read(let lba, let blockCount):
            setRange(command, lba, blockCount, target)
            command.pointee.dataByteCount = command.pointee.byteCount
            begin(number, target, lane)
        case .write(let lba, let blockCount, let forceUnitAccess):
            setRange(command, lba, blockCount, target)
            command.pointee.dataByteCount = command.pointee.byteCount
            command.pointee.operation = .write
            command.pointee.forceUnitAccess = forceUnitAccess
            begin(number, target, lane)
        case .synchronizeCache:
            if target.array.isReadOnly { return finish(number, lane, sense: nil) }
            command.pointee.operation = .flush
            begin(number, target, lane)
        case .zero(let lba, let blockCount, let mayUnmap):
            setRange(command, lba, blockCount, target)
            command.pointee.operation = .zero
            command.pointee.mayPunch = mayUnmap
            begin(number, target, lane)
        case .verify(let lba, let blockCount, let comparesData):
            setRange(command, lba, blockCount, target)
            command.pointee.expected = comparesData ? command.pointee.memory.map { UnsafeRawPointer($0) } : nil
            command.pointee.verifyEnd = command.pointee.byteOffset + command.pointee.byteCount
            command.pointee.kind = .verify
            if let memory = target.verifyMemory.claim(for: number) { beginPiece(number, memory, target, lane) }
        }
    }

    /// Starts the next piece of a VERIFY.
    private func beginPiece(
        _ number: UInt32, _ memory: UnsafeMutableRawPointer, _ target: ArrayTarget, _ lane: CardLane
    ) {
        let command = commands[number]
        command.pointee.memory = memory
        command.pointee.byteCount = min(
            UInt64(VerifyMemory.pieceByteCount), command.pointee.verifyEnd - command.pointee.byteOffset)
        begin(number, target, lane)
    }

    /// Compares a piece of a VERIFY, and begins the next one or answers the command.
    private func finishPiece(_ number: UInt32, _ target: ArrayTarget, _ lane: CardLane, sense: SenseData?) {
        let command = commands[number]
        let memory = command.pointee.memory!
        let byteCount = command.pointee.byteCount
        var sense = sense
        if sense == nil, let expected = command.pointee.expected {
            if memcmp(memory, expected, Int(byteCount)) != 0 { sense = .miscompare }
            command.pointee.expected = expected + Int(byteCount)
        }
        command.pointee.byteOffset += byteCount
        if sense == nil && command.pointee.byteOffset < command.pointee.verifyEnd {
            return beginPiece(number, memory, target, lane)
        }
        let next = target.verifyMemory.release(memory)
        finish(number, lane, sense: sense)
        if let next { beginPiece(next, memory, target, lane) }
    }

    private func setRange(
        _ command: UnsafeMutablePointer<CardCommand>, _ lba: UInt64, _ blockCount: UInt64, _ target: ArrayTarget
    ) {
        let blockByteCount = UInt64(target.disk.traits.blockByteCount)
        command.pointee.byteOffset = lba * blockByteCount
        command.pointee.byteCount = blockCount * blockByteCount
    }

    /// Starts a command on the array's bytes, by way of the write cache if there is one.
    private func begin(_ number: UInt32, _ target: ArrayTarget, _ lane: CardLane) {
        if let cache = target.cache {
            _ = admit(number, isStarved: false, cache, target, lane)
        } else {
            start(number, target, lane)
        }
    }

    /// Starts a command's work on the members. Plain reads of an array with all its members in sync need no planner and
    /// no lock: each extent goes to its member.
    func start(_ number: UInt32, _ target: ArrayTarget, _ lane: CardLane) {
        let command = commands[number]
        let epoch = target.membershipEpoch.load(ordering: .acquiring)
        guard command.pointee.operation == .read, command.pointee.kind == .direct, epoch & 1 == 0
        else { return submit(number, lane) }
        command.pointee.membershipEpoch = epoch
        let memory = command.pointee.memory!
        let token = CardToken.direct(array: target.index, command: number)
        target.geometry.forEachExtent(
            byteOffset: command.pointee.byteOffset, byteCount: command.pointee.byteCount
        ) { member, byteOffset, byteCount, offset in
            lane.staged.append(
                MemberIO(
                    kind: .read, member: member, byteOffset: byteOffset, byteCount: Int(byteCount),
                    memory: memory + Int(offset), token: token.rawValue))
            command.pointee.remaining += 1
        }
    }

    private func submit(_ number: UInt32, _ lane: CardLane) {
        let command = commands[number]
        if command.pointee.kind == .direct { command.pointee.kind = .planned }
        var request = ArrayRequest(
            command.pointee.operation, byteOffset: command.pointee.byteOffset, byteCount: command.pointee.byteCount,
            memory: command.pointee.memory, tag: number)
        request.forceUnitAccess = command.pointee.forceUnitAccess
        request.mayPunch = command.pointee.mayPunch
        lane.requests.append(request)
    }

    /// Repeats a direct read through the planner, after it met a failed member or an unreadable block.
    func reread(_ number: UInt32, _ lane: CardLane) {
        commands[number].pointee.status = .done
        submit(number, lane)
    }

    // MARK: Answers

    /// Answers a command whose target does not exist, or whose memory the card cannot reach.
    private func finishUnreachable(_ number: UInt32, _ lane: CardLane) {
        var completion = RAIDCompletionDescriptor()
        completion.transportError = 1
        append(completion, number, lane)
    }

    /// Answers a command with GOOD, or with CHECK CONDITION and sense data.
    func finish(_ number: UInt32, _ lane: CardLane, sense: SenseData?) {
        var completion = RAIDCompletionDescriptor()
        if let sense {
            completion.status = SCSIStatus.checkCondition.rawValue
            completion.senseByteCount = UInt8(SenseData.fixedByteCount)
            completion.sense = sense.fixedFormat
        } else {
            completion.dataByteCount = commands[number].pointee.dataByteCount
        }
        append(completion, number, lane)
    }

    private func append(_ completion: RAIDCompletionDescriptor, _ number: UInt32, _ lane: CardLane) {
        var completion = completion
        completion.tag = commands[number].pointee.tag
        if let pin = commands[number].pointee.pin.take() {
            pin.end(filling: commands[number].pointee.fillsMemory ? completion.dataByteCount : 0)
        }
        lane.finished.append(FinishedCommand(completion: completion, epoch: commands[number].pointee.epoch))
        lane.finishedNumbers.append(number)
    }

    /// Answers a command whose work on the array has ended, or goes on with the next piece of a VERIFY.
    func finish(_ number: UInt32, _ target: ArrayTarget, _ lane: CardLane, status: ArrayStatus) {
        let command = commands[number]
        let sense: SenseData? =
            switch status {
            case .done: nil
            case .noSpace: .spaceAllocationFailed
            case .refused, .failed: command.pointee.operation == .read ? .unrecoveredReadError : .writeError
            }
        if command.pointee.kind == .verify { return finishPiece(number, target, lane, sense: sense) }
        finish(number, lane, sense: sense)
    }
}
