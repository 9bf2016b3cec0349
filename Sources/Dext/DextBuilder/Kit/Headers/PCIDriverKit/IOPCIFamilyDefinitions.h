// Numbers of the PCI specifications, and names of properties.
#ifndef NBDEXT_PCIDRIVERKIT_IOPCIFAMILYDEFINITIONS_H
#define NBDEXT_PCIDRIVERKIT_IOPCIFAMILYDEFINITIONS_H

#include <DriverKit/IOTypes.h>

#define kIOPCIMatchKey "IOPCIMatch"
#define kIOPCIPrimaryMatchKey "IOPCIPrimaryMatch"
#define kIOPCISecondaryMatchKey "IOPCISecondaryMatch"
#define kIOPCIClassMatchKey "IOPCIClassMatch"
#define kIOPCITunnelCompatibleKey "IOPCITunnelCompatible"
#define kIOPCITunnelledKey "IOPCITunnelled"
#define kIOPCIPauseCompatibleKey "IOPCIPauseCompatible"
#define kIOPCIDeviceMemoryArrayKey "IODeviceMemory"

enum {
    kIOInterruptTypePCIMessaged = 0x00010000,
    kIOInterruptTypePCIMessagedX = 0x00020000,
};

/// The low bits of a BAR.
enum IOPCIBARType {
    kPCIBARTypeM32 = 0x00,
    kPCIBARTypeIO = 0x01,
    kPCIBARTypeM64 = 0x04,
    kPCIBARTypeM32PF = 0x08,
    kPCIBARTypeM64PF = 0x0C,
};

enum IOPCIMemoryRange {
    kPCIMemoryRangeBAR0 = 0,
    kPCIMemoryRangeBAR1,
    kPCIMemoryRangeBAR2,
    kPCIMemoryRangeBAR3,
    kPCIMemoryRangeBAR4,
    kPCIMemoryRangeBAR5,
};

// The header of the configuration space.
enum {
    kIOPCIConfigurationOffsetVendorID = 0x00,
    kIOPCIConfigurationOffsetDeviceID = 0x02,
    kIOPCIConfigurationOffsetCommand = 0x04,
    kIOPCIConfigurationOffsetStatus = 0x06,
    kIOPCIConfigurationOffsetRevisionID = 0x08,
    kIOPCIConfigurationOffsetClassCode = 0x09,
    kIOPCIConfigurationOffsetCacheLineSize = 0x0C,
    kIOPCIConfigurationOffsetLatencyTimer = 0x0D,
    kIOPCIConfigurationOffsetHeaderType = 0x0E,
    kIOPCIConfigurationOffsetBIST = 0x0F,
    kIOPCIConfigurationOffsetBaseAddress0 = 0x10,
    kIOPCIConfigurationOffsetBaseAddress1 = 0x14,
    kIOPCIConfigurationOffsetBaseAddress2 = 0x18,
    kIOPCIConfigurationOffsetBaseAddress3 = 0x1C,
    kIOPCIConfigurationOffsetBaseAddress4 = 0x20,
    kIOPCIConfigurationOffsetBaseAddress5 = 0x24,
    kIOPCIConfigurationOffsetCardBusCISPtr = 0x28,
    kIOPCIConfigurationOffsetSubSystemVendorID = 0x2C,
    kIOPCIConfigurationOffsetSubSystemID = 0x2E,
    kIOPCIConfigurationOffsetExpansionROMBase = 0x30,
    kIOPCIConfigurationOffsetCapabilitiesPtr = 0x34,
    kIOPCIConfigurationOffsetInterruptLine = 0x3C,
    kIOPCIConfigurationOffsetInterruptPin = 0x3D,
    kIOPCIConfigurationOffsetMinimumGrant = 0x3E,
    kIOPCIConfigurationOffsetMaximumLatency = 0x3F,
};

// Capabilities. An extended one is the negated number.
enum {
    kIOPCICapabilityIDOffset = 0x00,
    kIOPCINextCapabilityOffset = 0x01,
    kIOPCICapabilityIDPowerManagement = 0x01,
    kIOPCICapabilityIDAGP = 0x02,
    kIOPCICapabilityIDVitalProductData = 0x03,
    kIOPCICapabilityIDSlotID = 0x04,
    kIOPCICapabilityIDMSI = 0x05,
    kIOPCICapabilityIDCPCIHotswap = 0x06,
    kIOPCICapabilityIDPCIX = 0x07,
    kIOPCICapabilityIDLDT = 0x08,
    kIOPCICapabilityIDVendorSpecific = 0x09,
    kIOPCICapabilityIDDebugPort = 0x0A,
    kIOPCICapabilityIDCPCIResourceControl = 0x0B,
    kIOPCICapabilityIDHotplug = 0x0C,
    kIOPCICapabilityIDAGP8 = 0x0E,
    kIOPCICapabilityIDSecure = 0x0F,
    kIOPCICapabilityIDPCIExpress = 0x10,
    kIOPCICapabilityIDMSIX = 0x11,
    kIOPCICapabilityIDFPB = 0x15,
};
#define kIOPCIExpressCapabilityIDErrorReporting (-0x01U)
#define kIOPCIExpressCapabilityIDVirtualChannel (-0x02U)
#define kIOPCIExpressCapabilityIDDeviceSerialNumber (-0x03U)
#define kIOPCIExpressCapabilityIDPowerBudget (-0x04U)
#define kIOPCIExpressCapabilityIDAccessControlServices (-0x0DU)
#define kIOPCIExpressCapabilityIDLatencyTolerenceReporting (-0x18U)
#define kIOPCIExpressCapabilityIDL1PMSubstates (-0x1EU)

// The command register.
enum {
    kIOPCICommandIOSpace = 0x0001,
    kIOPCICommandMemorySpace = 0x0002,
    kIOPCICommandBusMaster = 0x0004,
    kIOPCICommandSpecialCycles = 0x0008,
    kIOPCICommandMemWrInvalidate = 0x0010,
    kIOPCICommandPaletteSnoop = 0x0020,
    kIOPCICommandParityError = 0x0040,
    kIOPCICommandAddressStepping = 0x0080,
    kIOPCICommandSERR = 0x0100,
    kIOPCICommandFastBack2Back = 0x0200,
    kIOPCICommandInterruptDisable = 0x0400,
};

// The status register.
enum {
    kIOPCIStatusInterrupt = 0x0008,
    kIOPCIStatusCapabilities = 0x0010,
    kIOPCIStatusPCI66 = 0x0020,
    kIOPCIStatusUDF = 0x0040,
    kIOPCIStatusFastBack2Back = 0x0080,
    kIOPCIStatusDevSel0 = 0x0000,
    kIOPCIStatusDevSel1 = 0x0200,
    kIOPCIStatusDevSel2 = 0x0400,
    kIOPCIStatusDevSel3 = 0x0600,
    kIOPCIStatusTargetAbortCapable = 0x0800,
    kIOPCIStatusTargetAbortActive = 0x1000,
    kIOPCIStatusMasterAbortActive = 0x2000,
    kIOPCIStatusSERRActive = 0x4000,
    kIOPCIStatusParityErrActive = 0x8000,
};

// The power management capability.
enum {
    kPCIPMCPMESupportFromD3Cold = 0x8000,
    kPCIPMCPMESupportFromD3Hot = 0x4000,
    kPCIPMCPMESupportFromD2 = 0x2000,
    kPCIPMCPMESupportFromD1 = 0x1000,
    kPCIPMCPMESupportFromD0 = 0x0800,
    kPCIPMCD2Support = 0x0400,
    kPCIPMCD1Support = 0x0200,
    kPCIPMCD3Support = 0x0001,
};
enum {
    kPCIPMCSPMEStatus = 0x8000,
    kPCIPMCSPMEEnable = 0x0100,
    kPCIPMCSPowerStateMask = 0x0003,
    kPCIPMCSPowerStateD3 = 0x0003,
    kPCIPMCSPowerStateD2 = 0x0002,
    kPCIPMCSPowerStateD1 = 0x0001,
    kPCIPMCSPowerStateD0 = 0x0000,
};

#endif
