import DriverHost
import HardwareBus

/// Does the work of lanes: sends tasks, takes the driver's calls, runs the card, and hands up what has ended.
///
/// Threads: each lane on one thread at a time; lanes in parallel.
final class LanePump: LaneSource {
    private let host: any DriverHost
    private let card: PCIFunction
    private let lanes: LaneTable
    private let dispatcher: TaskDispatcher
    /// Rounds in a row of one `pump`, at most, that bring nothing but messages of the driver.
    private static let idleRoundMax = 64

    init(parts: KernelParts, dispatcher: TaskDispatcher) {
        host = parts.host
        card = parts.card
        lanes = parts.lanes
        self.dispatcher = dispatcher
    }

    /// Does all work of a lane that needs no waiting.
    ///
    /// A completion may submit more on the same lane. The frame that already pumps then does that work.
    func pump(lane: Int, _ exchange: Exchange = Exchange()) {
        guard !lanes[lane].pointee.isActive else { return }
        lanes[lane].pointee.isActive = true
        var exchange = exchange
        exchange.mayWait = lanes[lane].pointee.mayWait
        var idleRounds = 0
        repeat {
            while workOnce(lane: lane, &exchange, &idleRounds) {}
        } while host.finish(&exchange, mayGoOn: idleRounds < Self.idleRoundMax)
        assert(lanes[lane].pointee.isActive, "another frame has ended the work of lane \(lane)")
        assert(!lanes[lane].pointee.mustSend, "lane \(lane) stops, and has slots to send")
        lanes[lane].pointee.isActive = false
    }

    /// Does one round of a lane's work.
    /// - Returns: whether there may be more.
    private func workOnce(lane: Int, _ exchange: inout Exchange, _ idleRounds: inout Int) -> Bool {
        assert(lanes[lane].pointee.isActive, "lane \(lane) works outside of `pump`")
        if lanes[lane].pointee.mustSend {
            lanes[lane].pointee.mustSend = false
            host.send(&exchange)
        }
        let hasTaken = host.takeCalls(&exchange)
        let hasRun = card.run(lane: lane)
        let hasDelivered = dispatcher.deliverCompletions(lane: lane)
        idleRounds = hasRun || hasDelivered ? 0 : idleRounds + 1
        return lanes[lane].pointee.mustSend || (hasTaken || hasRun || hasDelivered) && idleRounds < Self.idleRoundMax
    }

    /// Pumps a lane until all work that it has begun is done.
    func finishWork(lane: Int, _ exchange: Exchange = Exchange()) {
        pump(lane: lane, exchange)
        waitForOutstandingWork(lane: lane, exchange)
    }

    private func waitForOutstandingWork(lane: Int, _ exchange: Exchange) {
        // A frame below would wait for what only it can do.
        assert(!lanes[lane].pointee.isActive, "lane \(lane) waits for its work inside that work")
        while card.hasOutstandingWork(lane: lane) { wait(lane: lane, orReadable: -1, exchange) }
    }

    /// Blocks until I/O of a lane makes progress or `descriptor` (unless negative) is readable, and does the work that
    /// follows.
    func wait(lane: Int, orReadable descriptor: Int32, _ exchange: Exchange = Exchange()) {
        assert(!lanes[lane].pointee.isActive, "lane \(lane) waits inside its own work")
        assert(
            descriptor >= 0 || card.hasOutstandingWork(lane: lane), "lane \(lane) waits for nothing, and so for ever")
        card.wait(lane: lane, orReadable: descriptor)
        pump(lane: lane, exchange)
    }

    // MARK: Lanes of the machine's own threads

    func makeOwnLane() throws -> Int { try lanes.make() }

    func releaseOwnLane(_ lane: Int) {
        // The lane may work for other lanes, whose commands it took from the card's ring.
        waitForOutstandingWork(lane: lane, Exchange())
        lanes.release(lane)
    }
}
