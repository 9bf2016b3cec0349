import ArrayEngine
import Glibc
import RAID
import RAIDControllerInterface
import SCSI

/// From a command to its request, and back to its completion.
extension RAIDController {
    /// Takes commands from the submission ring and starts them.
    /// - Returns: their number.
    func takeCommands(_ lane: CardLane) -> Int {
        let count = rings.take(into: lane.commands, limit: CardLane.commandBatch)
        if count == 0 { return 0 }
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: count) { numbers in
            commands.claim(UnsafeMutableBufferPointer(rebasing: numbers[..<count]))
            var unit: LogicalUnit?
            for index in 0..<count {
                let fetched = (lane.commands + index).move()
                let next = self.unit(
                    target: fetched.descriptor.targetID, logicalUnit: fetched.descriptor.logicalUnit)
                if unit !== next {
                    if let unit { settle(lane, unit) }
                    next?.hasBeenAsked.store(true, ordering: .relaxed)
                }
                unit = next
                begin(fetched, numbers[index], next, lane)
            }
            if let unit { settle(lane, unit) }
        }
        return count
    }

    /// Decodes a command and starts or answers it.
    private func begin(
        _ fetched: consuming FetchedCommand, _ number: UInt32, _ unit: LogicalUnit?, _ lane: CardLane
    ) {
        let command = commands[number]
        let descriptor = fetched.descriptor
        command.pointee = CardCommand(tag: descriptor.tag, epoch: fetched.epoch)
        command.pointee.pin = fetched.pin.take()
        guard let unit else { return finishUnreachable(number, lane) }

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
        let action = unit.disk.action(
            for: cdb, logicalUnit: descriptor.logicalUnit,
            data: UnsafeMutableRawBufferPointer(start: command.pointee.memory, count: byteCount))
        perform(action, number, unit, lane)
    }

    private func perform(_ action: TargetAction, _ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane) {
        let command = commands[number]
        switch action {
        case .good: finish(number, lane, sense: nil)
        case .respond(let byteCount):
            command.pointee.dataByteCount = UInt64(byteCount)
            finish(number, lane, sense: nil)
        case .checkCondition(let sense): finish(number, lane, sense: sense)
        case .read(let lba, let blockCount):
            setRange(command, lba, blockCount, unit)
            command.pointee.dataByteCount = command.pointee.byteCount
            begin(number, unit, lane)
        case .write(let lba, let blockCount, let forceUnitAccess):
            setRange(command, lba, blockCount, unit)
            command.pointee.dataByteCount = command.pointee.byteCount
            command.pointee.operation = .write
            command.pointee.forceUnitAccess = forceUnitAccess
            begin(number, unit, lane)
        case .synchronizeCache:
            if unit.array.isReadOnly { return finish(number, lane, sense: nil) }
            command.pointee.operation = .flush
            begin(number, unit, lane)
        case .zero(let lba, let blockCount, let mayUnmap):
            setRange(command, lba, blockCount, unit)
            command.pointee.operation = .zero
            command.pointee.mayPunch = mayUnmap
            begin(number, unit, lane)
        case .verify(let lba, let blockCount, let comparesData):
            setRange(command, lba, blockCount, unit)
            command.pointee.expected = comparesData ? command.pointee.memory.map { UnsafeRawPointer($0) } : nil
            command.pointee.verifyEnd = command.pointee.byteOffset + command.pointee.byteCount
            command.pointee.isVerify = true
            if let memory = unit.verifyMemory.claim(for: number) { beginPiece(number, memory, unit, lane) }
        }
    }

    /// Starts the next piece of a VERIFY.
    private func beginPiece(
        _ number: UInt32, _ memory: UnsafeMutableRawPointer, _ unit: LogicalUnit, _ lane: CardLane
    ) {
        let command = commands[number]
        command.pointee.memory = memory
        command.pointee.byteCount = min(
            UInt64(VerifyMemory.pieceByteCount), command.pointee.verifyEnd - command.pointee.byteOffset)
        begin(number, unit, lane)
    }

    /// Compares a piece of a VERIFY, and begins the next one or answers the command.
    private func finishPiece(_ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane, sense: SenseData?) {
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
            return beginPiece(number, memory, unit, lane)
        }
        let next = unit.verifyMemory.release(memory)
        finish(number, lane, sense: sense)
        if let next { beginPiece(next, memory, unit, lane) }
    }

    private func setRange(
        _ command: UnsafeMutablePointer<CardCommand>, _ lba: UInt64, _ blockCount: UInt64, _ unit: LogicalUnit
    ) {
        let blockByteCount = UInt64(unit.disk.traits.blockByteCount)
        command.pointee.byteOffset = lba * blockByteCount
        command.pointee.byteCount = blockCount * blockByteCount
    }

    /// Starts a command on the array's bytes, by way of the write cache if there is one.
    private func begin(_ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane) {
        if let cache = unit.cache {
            _ = admit(number, isStarved: false, cache, unit, lane)
        } else {
            start(number, unit, lane)
        }
    }

    /// Gives a command to the engine, as a request whose tag is the command's number.
    func start(_ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane) {
        let command = commands[number]
        var request = ArrayRequest(
            command.pointee.operation, byteOffset: command.pointee.byteOffset, byteCount: command.pointee.byteCount,
            memory: command.pointee.memory, tag: number)
        request.forceUnitAccess = command.pointee.forceUnitAccess
        request.mayPunch = command.pointee.mayPunch
        engine.submit(request, to: unit.array, on: lane.engine)
    }

    /// Plans and starts the requests that are gathered for a unit's array, answers the commands that end, and lets
    /// those go on that waited for the unit's cache.
    func settle(_ lane: CardLane, _ unit: LogicalUnit) {
        repeat {
            finishRequests(lane, unit)
            if lane.canResume { resumeCommands(lane, unit) }
            engine.plan(unit.array, on: lane.engine)
        } while lane.canResume || !lane.engine.finished.isEmpty || lane.engine.hasRequests
        engine.start(unit.array, on: lane.engine)
    }

    /// Ends the commands and destages whose requests have ended.
    private func finishRequests(_ lane: CardLane, _ unit: LogicalUnit) {
        guard !lane.engine.finished.isEmpty else { return }
        for request in lane.engine.finished {
            if request.tag < Self.commandCapacity {
                finish(request.tag, unit, lane, status: request.status)
            } else {
                endDestage(request, lane, unit)
            }
        }
        lane.engine.finished.removeAll(keepingCapacity: true)
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
    func finish(_ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane, status: ArrayStatus) {
        let command = commands[number]
        let sense: SenseData? =
            switch status {
            case .done: nil
            case .noSpace: .spaceAllocationFailed
            case .refused, .failed: command.pointee.operation == .read ? .unrecoveredReadError : .writeError
            }
        if command.pointee.isVerify { return finishPiece(number, unit, lane, sense: sense) }
        finish(number, lane, sense: sense)
    }
}
