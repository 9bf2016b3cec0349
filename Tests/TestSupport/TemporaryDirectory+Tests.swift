import Platform

extension TemporaryDirectory {
    /// A test's directory.
    package convenience init() { try! self.init(name: "test") }
}
