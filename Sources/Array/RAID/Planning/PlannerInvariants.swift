/// What holds between two calls of the planner, whatever was called. Tests ask for it after calls; a release build,
/// in which assertions are nothing, does not contain it.
struct PlannerInvariants {
    let planner: RAIDPlanner

    func check() {
        let pool = planner.schedule.pool
        assert(planner.schedule.ended.isEmpty, "operations that ended are not released")
        pool.checkInvariants()
        for operation in pool.all where operation.phase != .free { check(operation) }
        planner.schedule.stripeIndex.checkInvariants(pool.all)
        planner.schedule.scratch.checkInvariants(pool.all)
        planner.bitmap?.checkInvariants()
        planner.logs?.checkInvariants(pool.all)
    }

    /// An operation that is in use has what its phase needs, and nothing that it does not need yet.
    private func check(_ operation: StripeOperation) {
        let hasLock = operation.hasStripeRange
        switch operation.phase {
        case .free, .ended: assertionFailure("an operation is neither in use nor free")
        case .awaitingLock:
            assert(operation.lock.isIndexed && !hasLock, "an operation waits for a lock that it has, or cannot get")
            assert(operation.outstanding == 0, "an operation waits with I/O under way")
        case .awaitingScratch:
            assert(hasLock && operation.scratch.isNone, "an operation waits for blocks out of turn, or has some")
            assert(operation.outstanding == 0, "an operation waits with I/O under way")
        case .reading:
            assert(hasLock || operation.kind == .read, "an operation reads without its stripe range")
            assert(operation.outstanding > 0, "an operation reads nothing and does not go on")
        case .protecting:
            assert(hasLock && operation.outstanding == 0, "an operation that waits for protection has begun to write")
            assert(planner.logs != nil || planner.bitmap != nil, "nothing protects the operation")
        case .retiring:
            assert(operation.outstanding == 0, "work retires with I/O under way")
            assert(operation.kind.isRecovery, "other work than a recovery's retires")
        case .probing, .rewriting, .verifying, .computing, .testing, .writing, .mending, .mendingParity:
            assert(hasLock, "an operation goes on without its stripe range")
            assert(operation.outstanding > 0, "an operation waits for nothing and does not go on")
        }
        assert(
            operation.kind.isMaintenance || planner.requests[operation.request].pointee.remaining > 0,
            "an operation's request has ended")
    }
}

extension OperationPool {
    func checkInvariants() {
        assert(all.count { $0.phase == .free } == freeCount, "the pool miscounts its free operations")
    }
}

extension ScratchPool {
    /// Blocks are free or held by one operation.
    func checkInvariants(_ operations: UnsafeBufferPointer<StripeOperation>) {
        let held = operations.filter { $0.phase != .free && !$0.scratch.isNone }.map(\.scratch)
        assert(Set(held).count == held.count, "two operations have the same blocks")
        let smallHeld = held.count { $0.rawValue < Self.smallCount }
        assert(smallHeld + smallFree == Self.smallCount, "small blocks are lost, or given twice")
        assert(held.count - smallHeld + largeFree == Self.largeCount, "large blocks are lost, or given twice")
        assert(smallWaiters.isEmpty || smallFree == 0, "an operation waits for small blocks, and some are free")
        assert(largeWaiters.isEmpty || largeFree == 0, "an operation waits for large blocks, and some are free")
    }
}

extension StripeIndex {
    /// Each operation is counted as blocked by exactly the earlier ones that overlap it.
    func checkInvariants(_ operations: UnsafeBufferPointer<StripeOperation>) {
        let indexed = operations.filter { $0.phase != .free && $0.lock.isIndexed }
        assert(count == indexed.count, "the index has lost an operation, or keeps one that is gone")
        for operation in indexed {
            let earlier = indexed.count { $0.lock.sequence < operation.lock.sequence && $0.overlaps(operation) }
            assert(earlier == Int(operation.lock.blockers), "an operation waits for too many others, or too few")
        }
    }
}

extension WriteIntentBitmap {
    /// What counts as durable is set, and what is about to be cleared is durable.
    func checkInvariants() {
        for region in 0..<regionCount {
            assert(!isDurable(region) || isSet(region), "a bit counts as durable and is not set")
            assert(!isClearing(region) || isDurable(region), "a bit is to be cleared that is not durable")
        }
        assert(isWriting || round.isEmpty, "operations wait for a round that is over")
    }
}

extension PartialParityLogs {
    /// A unit covers exactly the operations that have a record in it.
    func checkInvariants(_ operations: UnsafeBufferPointer<StripeOperation>) {
        for role in geometry.roles {
            let covered = operations.count {
                $0.phase != .free && $0.recordOffset != nil && geometry.parityMember(stripe: $0.stripe) == role
            }
            assert(covered == coveredCount(of: role), "a unit covers more operations than have records, or fewer")
        }
    }
}
