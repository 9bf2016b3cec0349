import ArrayEngine
import Glibc
import RAID
import RAIDControllerInterface
import SCSI

/// From a command to its request, and back to its completion.
extension RAIDController {
    /// Takes commands that have arrived, and starts them.
    /// - Returns: their number.
    func takeCommands(_ lane: CardLane) -> Int {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: CardLane.commandBatch) { numbers in
            let count = rings.take(into: numbers.baseAddress!, limit: CardLane.commandBatch)
            assert(count <= CardLane.commandBatch, "more commands were taken than there is room for")
            var unit: LogicalUnit?
            // The last command's target and unit, which are nearly always the next one's.
            var (target, logicalUnit): (UInt16, UInt8) = (0, 0)
            for (position, number) in numbers[..<count].enumerated() {
                let command = commands[number]
                let isSame =
                    target == command.pointee.descriptor.targetID
                    && logicalUnit == command.pointee.descriptor.logicalUnit
                if position == 0 || !isSame {
                    if let unit { settle(lane, unit) }
                    (target, logicalUnit) = (
                        command.pointee.descriptor.targetID, command.pointee.descriptor.logicalUnit
                    )
                    unit = self.unit(target: target, logicalUnit: logicalUnit)
                    unit?.hasBeenAsked.store(true, ordering: .relaxed)
                }
                begin(number, unit, lane)
            }
            if let unit { settle(lane, unit) }
            return count
        }
    }

    /// Decodes a command and starts or answers it.
    private func begin(_ number: UInt32, _ unit: LogicalUnit?, _ lane: CardLane) {
        let command = commands[number]
        guard let unit else { return finishUnreachable(number, lane) }
        let cdb = CommandDescriptorBlock(
            bytes: command.pointee.descriptor.cdb, byteCount: command.pointee.descriptor.cdbSize)
        let direction = command.pointee.descriptor.direction
        let byteCount = direction == 0 ? 0 : Int(clamping: command.pointee.descriptor.dataByteCount)
        var memory: UnsafeMutableRawPointer?
        if byteCount > 0 {
            // The CDB decides the direction, whatever the driver's descriptor says.
            let fillsMemory = !cdb.operationCode.takesData
            let deviceWrites = fillsMemory || direction == 2
            memory = command.pointee.pin?.memory(byteCount: byteCount, deviceWrites: deviceWrites)
            guard memory != nil else {
                dartFaultHandler?(command.pointee.descriptor.dataAddress, byteCount, deviceWrites)
                return finishUnreachable(number, lane)
            }
            command.pointee.fillsMemory = fillsMemory
        }
        let action = unit.disk.action(
            for: cdb, logicalUnit: command.pointee.descriptor.logicalUnit,
            data: UnsafeMutableRawBufferPointer(start: memory, count: byteCount))
        perform(action, number, memory, unit, lane)
    }

    /// - Parameter memory: the driver's, if the command has data.
    private func perform(
        _ action: TargetAction, _ number: UInt32, _ memory: UnsafeMutableRawPointer?, _ unit: LogicalUnit,
        _ lane: CardLane
    ) {
        let command = commands[number]
        switch action {
        case .good: finish(number, lane, sense: nil)
        case .respond(let byteCount):
            command.pointee.dataByteCount = UInt64(byteCount)
            finish(number, lane, sense: nil)
        case .checkCondition(let sense): finish(number, lane, sense: sense)
        case .read(let lba, let blockCount):
            let request = makeRequest(.read, number, lba, blockCount, memory, unit)
            command.pointee.dataByteCount = request.pointee.byteCount
            begin(number, unit, lane)
        case .write(let lba, let blockCount, let forceUnitAccess):
            let request = makeRequest(.write, number, lba, blockCount, memory, unit)
            request.pointee.forceUnitAccess = forceUnitAccess
            command.pointee.dataByteCount = request.pointee.byteCount
            begin(number, unit, lane)
        case .synchronizeCache:
            if unit.array.isReadOnly { return finish(number, lane, sense: nil) }
            engine.requests[Int(number)] = ArrayRequest(.flush, tag: number)
            begin(number, unit, lane)
        case .zero(let lba, let blockCount, let mayUnmap):
            makeRequest(.zero, number, lba, blockCount, nil, unit).pointee.mayPunch = mayUnmap
            begin(number, unit, lane)
        case .verify(let lba, let blockCount, let comparesData):
            let request = makeRequest(.read, number, lba, blockCount, nil, unit)
            command.pointee.expected = comparesData ? memory.map { UnsafeRawPointer($0) } : nil
            command.pointee.verifyEnd = request.pointee.byteOffset + request.pointee.byteCount
            command.pointee.isVerify = true
            if let memory = unit.verifyMemory.claim(for: number) { beginPiece(number, memory, unit, lane) }
        }
    }

    /// Writes the request of a command, whose tag is the command's number.
    private func makeRequest(
        _ operation: ArrayRequest.Operation, _ number: UInt32, _ lba: UInt64, _ blockCount: UInt64,
        _ memory: UnsafeMutableRawPointer?, _ unit: LogicalUnit
    ) -> UnsafeMutablePointer<ArrayRequest> {
        let request = engine.requests + Int(number)
        let blockByteCount = UInt64(unit.disk.traits.blockByteCount)
        request.pointee = ArrayRequest(
            operation, byteOffset: lba * blockByteCount, byteCount: blockCount * blockByteCount, memory: memory,
            tag: number)
        assert(
            request.pointee.byteOffset + request.pointee.byteCount <= unit.array.capacityByteCount,
            "a range was accepted that ends behind the disk")
        return request
    }

    /// Starts the next piece of a VERIFY.
    private func beginPiece(
        _ number: UInt32, _ memory: UnsafeMutableRawPointer, _ unit: LogicalUnit, _ lane: CardLane
    ) {
        let request = engine.requests + Int(number)
        assert(commands[number].pointee.isVerify, "only VERIFY is done in pieces")
        assert(request.pointee.byteOffset < commands[number].pointee.verifyEnd, "nothing is left to verify")
        request.pointee.memory = memory
        request.pointee.byteCount = min(
            UInt64(VerifyMemory.pieceByteCount), commands[number].pointee.verifyEnd - request.pointee.byteOffset)
        begin(number, unit, lane)
    }

    /// Compares a piece of a VERIFY, and begins the next one or answers the command.
    private func finishPiece(_ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane, sense: SenseData?) {
        let command = commands[number]
        let request = engine.requests + Int(number)
        let memory = request.pointee.memory!
        let byteCount = request.pointee.byteCount
        assert(
            request.pointee.byteOffset + byteCount <= command.pointee.verifyEnd,
            "a piece goes beyond the command's range")
        var sense = sense
        if sense == nil, let expected = command.pointee.expected {
            if memcmp(memory, expected, Int(byteCount)) != 0 { sense = .miscompare }
            command.pointee.expected = expected + Int(byteCount)
        }
        request.pointee.byteOffset += byteCount
        if sense == nil && request.pointee.byteOffset < command.pointee.verifyEnd {
            return beginPiece(number, memory, unit, lane)
        }
        let next = unit.verifyMemory.release(memory)
        finish(number, lane, sense: sense)
        if let next { beginPiece(next, memory, unit, lane) }
    }

    /// Starts a command on the array's bytes, by way of the write cache if there is one.
    private func begin(_ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane) {
        assert(engine.requests[Int(number)].tag == number, "the command has no request")
        assert(
            !unit.array.isReadOnly || engine.requests[Int(number)].operation == .read,
            "a read-only array is written to")
        if let cache = unit.cache {
            _ = admit(number, isStarved: false, cache, unit, lane)
        } else {
            engine.submit(number, to: unit.array, on: lane.engine)
        }
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
        assert(lane.resumed.isEmpty && lane.destages.isEmpty, "a command that can go on is left behind")
    }

    /// Ends the commands and destages whose requests have ended.
    private func finishRequests(_ lane: CardLane, _ unit: LogicalUnit) {
        guard !lane.engine.finished.isEmpty else { return }
        for request in lane.engine.finished {
            assert(request.tag < Self.requestCapacity, "a request has ended that the card never made")
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
        commands[number].pointee.isUnreachable = true
        finish(number, lane, filledByteCount: 0)
    }

    /// Answers a command with GOOD, or with CHECK CONDITION and sense data.
    func finish(_ number: UInt32, _ lane: CardLane, sense: SenseData?) {
        let command = commands[number]
        command.pointee.sense = sense
        finish(
            number, lane,
            filledByteCount: sense == nil && command.pointee.fillsMemory ? command.pointee.dataByteCount : 0)
    }

    private func finish(_ number: UInt32, _ lane: CardLane, filledByteCount: UInt64) {
        if let pin = commands[number].pointee.pin.take() { pin.end(filling: filledByteCount) }
        lane.finished.append(number)
    }

    /// Answers a command whose work on the array has ended, or goes on with the next piece of a VERIFY.
    func finish(_ number: UInt32, _ unit: LogicalUnit, _ lane: CardLane, status: ArrayStatus) {
        let sense: SenseData? =
            switch status {
            case .done: nil
            case .noSpace: .spaceAllocationFailed
            case .refused, .failed:
                engine.requests[Int(number)].operation == .read ? .unrecoveredReadError : .writeError
            }
        if commands[number].pointee.isVerify { return finishPiece(number, unit, lane, sense: sense) }
        finish(number, lane, sense: sense)
    }
}
