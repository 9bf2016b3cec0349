import BlockStorage
import Platform
import Statistics

/// A block device with a write-back page cache over another one, as /dev/diskN is over /dev/rdiskN on macOS.
///
/// A write is complete when it is in the cache; a read may never reach the device. Dirty pages are written back by a
/// flush, by a request with FUA (its own range; it completes when that is durable), and when there is no clean page to
/// make room with. There is no write back by time.
///
/// **Not coherent with the raw device**, as on macOS: what is written to one of the two need not be seen by the other,
/// neither before a flush (the cache holds it back) nor after (the other's change does not reach pages in the cache).
/// A client should use one of them.
///
/// A write back that fails leaves its pages dirty, and its error to the request that needed it: the flush, or the
/// request that found no room. A later one tries again.
///
/// Threads: any. A lane's requests are advanced by the lane's thread alone (`BufferedLane`); lanes share the page table
/// under a lock that is never held across I/O.
package final class BufferedBlockDevice: BlockService {
    /// The raw device's, under another name.
    package let info: BlockServiceInfo
    package var arena: DataArena { raw.arena }

    /// What this device is asked for, and how long it takes. What reaches the raw device is counted there too.
    package let counters = ExportCounters(laneCount: LaneNumbers.capacity)
    private let laneNumbers = LaneNumbers()
    private let raw: any BlockService
    private let table: PageTable

    /// - Parameters:
    ///   - raw: where the data is kept.
    ///   - name: of this device; for people, and for clients to choose it by.
    ///   - cacheByteCount: memory for pages, bytes; at least 16 KiB, the size of a page. It is the most that a power
    ///     cut can lose. 24 MiB of the raw device's arena come on top.
    /// - Throws: when the memory is not to be had, or is less than a page.
    package init(over raw: any BlockService, name: String, cacheByteCount: Int) throws {
        self.raw = raw
        var info = raw.info
        info.name = name
        info.description += ", buffered"
        self.info = info
        table = try PageTable(
            byteCount: cacheByteCount, deviceByteCount: info.byteCount, staging: StagingPool(arena: raw.arena))
    }

    /// Makes a lane, and one of the raw device for it.
    /// - Throws: what the raw device throws, and when the system is out of descriptors: a lane uses two.
    package func makeLane(receiver: any BlockCompletionReceiver) throws -> any BlockLane {
        let mailbox = try LaneMailbox()
        let number = try laneNumbers.claim()
        let lane: any BlockLane
        do { lane = try raw.makeLane(receiver: mailbox) } catch {
            laneNumbers.release(number)
            throw error
        }
        return BufferedLane(
            table: table, info: info, raw: lane, mailbox: mailbox, receiver: receiver,
            tally: LaneTally(counters: counters, lane: number, capacity: lane.requestCapacity)
        ) { [laneNumbers] in laneNumbers.release(number) }
    }

    /// Bytes that were written to this device and not yet to the raw one, as far as is known: those that are being
    /// written back count. Any thread.
    package func dirtyByteCount() -> UInt64 { table.lock.withLock { table.dirtyByteCount } }

    /// Drops every page, dirty or not, as a power cut of the host would. Any thread.
    ///
    /// A write back that is under way may still reach the raw device, or not. Requests that change or flush the device,
    /// and that began before, fail with `inputOutput` unless they are complete; reads go on, and find what the raw
    /// device has.
    /// - Returns: the dirty bytes that were dropped, as `dirtyByteCount` would have counted them.
    package func powerCut() -> UInt64 {
        var woken: [Waiter] = []
        let lost = table.lock.withLock { table.cutPower(waking: &woken) }
        for waiter in woken { waiter.mailbox.resume(waiter.tag) }
        return lost
    }
}
