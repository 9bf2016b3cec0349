import CLinux
import EmulatedMachine
import Glibc
import NBDServer
import Platform

/// A server from its start to its end, which a signal asks for.
///
/// Threads: the main one, before any other thread is started.
package struct ServerRun {
    /// The machine that is served.
    package var configuration: MachineConfiguration
    /// Where clients connect.
    package var addresses: [ServerAddress]
    /// The path of the control socket; nil for the first array's directory.
    package var control: String?
    /// The time for a stop.
    package var stopSeconds: Int
    /// The patience with clients.
    package var timeouts: ClientTimeouts

    package init(
        configuration: MachineConfiguration, addresses: [ServerAddress], control: String?, stopSeconds: Int,
        timeouts: ClientTimeouts
    ) {
        self.configuration = configuration
        self.addresses = addresses
        self.control = control
        self.stopSeconds = stopSeconds
        self.timeouts = timeouts
    }

    /// Starts the machine, listens, prints "ready: URI" for each address, and stops everything when a signal comes.
    ///
    /// - Throws: the reason why the server cannot start, or why the arrays are not stopped cleanly.
    package func run() throws {
        nbdext_raise_descriptor_limit()
        let signals = try ServerSignals(stopSeconds: stopSeconds)
        CrashReports.install()
        let machine: Machine
        do {
            var configuration = configuration
            configuration.startUp = signals.startUp
            machine = try Machine(configuration)
        } catch {
            // A signal has ended the start, as its sender wanted.
            if signals.mustEnd { return }
            throw error
        }
        signals.isReady(machine)
        let server: NBDServer
        do {
            server = try NBDServer(
                services: machine.devices + machine.bufferedDevices, timeouts: timeouts,
                spareProcessorCount: spareProcessorCount)
        } catch {
            try? machine.stop()
            throw error
        }
        let control = ControlPoint.open(at: control, directories: configuration.directories, service: machine.serve)
        do {
            for uri in try server.listen(at: addresses) { show("ready: \(uri)") }
            fflush(nil)
        } catch {
            control?.stop()
            server.stop(limitMilliseconds: 0)
            try machine.stop()
            throw error
        }
        signals.waitForEnd()
        machine.endWaiting()
        control?.stop()
        server.stop(limitMilliseconds: signals.clientMilliseconds)
        if configuration.alignsStages { writeDiagnostic(machine.dump()) }
        try machine.stop()
    }

    /// Processors that a client's thread can have for itself, beside its client and the driver's process if there is
    /// one.
    private var spareProcessorCount: Int {
        sysconf(Int32(_SC_NPROCESSORS_ONLN)) - (configuration.driver == nil ? 1 : 2)
    }
}
