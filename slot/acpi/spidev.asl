// Tells the guest of one SPI device on the port that QEMU has at slot 0x10 (addr=0x10; QEMU's own tables call it S80).
// spidev takes it by the test identifier SPT0001.
DefinitionBlock ("spidev.aml", "SSDT", 2, "SMCARD", "SPIDEV", 1)
{
    External (\_SB.PCI0.S80, DeviceObj)
    Scope (\_SB.PCI0.S80)
    {
        Device (CARD)
        {
            Name (_HID, "SPT0001")
            Name (_CRS, ResourceTemplate ()
            {
                SpiSerialBusV2 (0, PolarityLow, FourWireMode, 8, ControllerInitiated, 25000000, ClockPolarityLow,
                    ClockPhaseFirst, "\\_SB.PCI0.S80", 0, ResourceConsumer)
            })
            Method (_STA) { Return (0x0F) }
        }
    }
}
