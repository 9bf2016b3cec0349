import BlockStorage
import Platform
import Statistics

/// A block device with a write-back page cache over another one, as /dev/diskN is over /dev/rdiskN on macOS.
///
/// A write is complete as soon as it is in the cache, and a read need not reach the device. Dirty pages are written
/// back by a flush, by a request with FUA (its own range; it completes when that is durable), and to make room when no
/// page is clean. There is no write back by time.
///
/// **Not coherent with the raw device**, as on macOS. A read of the raw device misses writes that the cache still
/// holds, and a write to the raw device does not change pages that are in the cache. A client should use only one of
/// the two.
///
/// After a failed write back the pages stay dirty, and the request that needed it gets the error: the flush, or the
/// request that found no room. A later request tries again.
///
/// Threads: any. A lane's requests are advanced by the lane's thread alone (`BufferedLane`); lanes share the page table
/// under a lock that is never held across I/O.
package final class BufferedBlockDevice: BlockService {
    /// The raw device's size and abilities, with this device's name.
    package let info: BlockServiceInfo
    package var arena: DataArena { raw.arena }

    /// The requests to this device, and their times. Requests that reach the raw device are counted there too.
    package let counters = ExportCounters(laneCount: LaneNumbers.capacity)
    private let laneNumbers = LaneNumbers()
    private let raw: any BlockService
    let table: PageTable

    /// - Parameters:
    ///   - raw: the device below.
    ///   - name: this device's name, for people and for clients.
    ///   - cacheByteCount: memory for pages, bytes; at least 16 KiB, the size of a page. A power cut can lose that much
    ///     at most. 24 MiB of the raw device's arena come on top.
    /// - Throws: if the memory cannot be allocated or is less than a page.
    package init(over raw: any BlockService, name: String, cacheByteCount: Int) throws {
        self.raw = raw
        var info = raw.info
        info.name = name
        info.description += ", buffered"
        self.info = info
        table = try PageTable(
            byteCount: cacheByteCount, deviceByteCount: info.byteCount, staging: StagingPool(arena: raw.arena))
    }

    /// Makes a lane, with a lane of the raw device below it.
    /// - Throws: the raw device's error, or an error if the system is out of descriptors; a lane uses two.
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

    /// Bytes that were written to this device and are not known to be on the raw one; bytes of a write back under way
    /// count. Any thread.
    package func dirtyByteCount() -> UInt64 { table.lock.withLock { table.dirtyByteCount } }

    /// Drops every page, dirty or not, as a power cut of the host would. Any thread.
    ///
    /// A write back under way may or may not reach the raw device. Requests under way that change or flush the device
    /// fail with `inputOutput`. Reads go on, and read the raw device.
    /// - Returns: the dirty bytes that were dropped, as `dirtyByteCount` would have counted them.
    package func powerCut() -> UInt64 {
        var woken: [Waiter] = []
        let lost = table.lock.withLock { table.cutPower(waking: &woken) }
        for waiter in woken { waiter.mailbox.resume(waiter.tag) }
        return lost
    }
}
